// Stand-in of tflite-micro's interpreter: same calls, tensors and failures, but the window is
// computed by the streaming engine from a fresh start, which gives the same integers.
#ifndef STAND_IN_INTERPRETER_H
#define STAND_IN_INTERPRETER_H

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

enum TfLiteType { kTfLiteFloat32 = 1, kTfLiteInt8 = 9 };

struct TfLiteIntArray {
    int size;
    int data[4];
};

struct TfLiteTensor {
    TfLiteType type;
    union {
        int8_t *int8;
    } data;
    TfLiteIntArray *dims;
    size_t bytes;
};

namespace tflite {

class MicroInterpreter {
public:
    MicroInterpreter(const Model *model, const MicroOpResolver &resolver, uint8_t *arena,
                     size_t arena_size);
    TfLiteStatus AllocateTensors();
    TfLiteStatus Invoke();
    TfLiteTensor *input(size_t index);
    TfLiteTensor *output(size_t index);
    size_t outputs_size() const { return 1; }

private:
    uint8_t *arena_;
    size_t arena_size_;
    TfLiteIntArray input_dims_ = {};
    TfLiteIntArray output_dims_ = {};
    TfLiteTensor input_ = {};
    TfLiteTensor output_ = {};
};

} // namespace tflite

#endif
