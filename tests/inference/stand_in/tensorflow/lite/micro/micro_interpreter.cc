// The stand-in's window, by the streaming engine. In its memory the input is overwritten, as
// tflite-micro's planner does.
#include "tensorflow/lite/micro/micro_interpreter.h"

#include <cstring>

#include "model_data.h"
#include "mw_engine.h"
#include "tflm_tables.h"

namespace {

alignas(8) uint8_t state[MW_MODEL_STATE_BYTES];
mw_engine engine;

} // namespace

namespace tflite {

MicroInterpreter::MicroInterpreter(const Model *, const MicroOpResolver &resolver, uint8_t *arena,
                                   size_t arena_size)
    : arena_(arena), arena_size_(resolver.used == MW_TFLM_OPERATORS ? arena_size : 0) {}

TfLiteStatus MicroInterpreter::AllocateTensors() {
    const size_t bytes = MW_TFLM_WINDOW * MW_MODEL_INPUTS;
    if (arena_size_ < bytes + MW_MODEL_OUTPUTS ||
        mw_engine_init(&engine, &mw_model_data, state, sizeof state) != MW_OK) {
        return kTfLiteError;
    }
    input_dims_ = {4, {1, MW_TFLM_WINDOW, 1, MW_MODEL_INPUTS}};
    output_dims_ = {2, {1, MW_MODEL_OUTPUTS}};
    input_ = {kTfLiteInt8, {reinterpret_cast<int8_t *>(arena_)}, &input_dims_, bytes};
    output_ = {kTfLiteInt8, {reinterpret_cast<int8_t *>(arena_ + bytes)}, &output_dims_,
               MW_MODEL_OUTPUTS};
    return kTfLiteOk;
}

TfLiteStatus MicroInterpreter::Invoke() {
    mw_engine_reset(&engine);
    for (size_t row = 0; row < MW_TFLM_WINDOW; row++) {
        mw_engine_step(&engine, &input_.data.int8[row * MW_MODEL_INPUTS], output_.data.int8);
    }
    std::memset(input_.data.int8, 0x55, input_.bytes);
    return kTfLiteOk;
}

TfLiteTensor *MicroInterpreter::input(size_t index) { return index == 0 ? &input_ : nullptr; }

TfLiteTensor *MicroInterpreter::output(size_t index) { return index == 0 ? &output_ : nullptr; }

} // namespace tflite
