// Stand-in of tflite-micro's operator resolver: counts, and takes no more than it has room for.
#ifndef STAND_IN_OP_RESOLVER_H
#define STAND_IN_OP_RESOLVER_H

#include <cstddef>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

class MicroOpResolver {
public:
    size_t used = 0;
};

template <unsigned int capacity> class MicroMutableOpResolver : public MicroOpResolver {
public:
    TfLiteStatus AddAdd() { return add(); }
    TfLiteStatus AddConcatenation() { return add(); }
    TfLiteStatus AddConv2D() { return add(); }
    TfLiteStatus AddLogistic() { return add(); }
    TfLiteStatus AddMul() { return add(); }
    TfLiteStatus AddRelu() { return add(); }
    TfLiteStatus AddReshape() { return add(); }
    TfLiteStatus AddStridedSlice() { return add(); }
    TfLiteStatus AddTanh() { return add(); }

private:
    TfLiteStatus add() { return used++ < capacity ? kTfLiteOk : kTfLiteError; }
};

} // namespace tflite

#endif
