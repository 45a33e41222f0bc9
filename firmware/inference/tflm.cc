/* tflite-micro as the network behind the pipeline; firmware/app/inference.h says what it does. */
#ifdef ARDUINO
#include <Chirale_TensorFlowLite.h> /* how PlatformIO finds the library */
#endif

#include <cstring>

#include "inference.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "tflm_tables.h"

static_assert(MW_TFLM_WINDOW >= MW_MODEL_RECEPTIVE_FIELD, "the window holds the receptive field");
static_assert(MW_TFLM_HOP >= 1u, "a hop is one sample or more");

namespace {

alignas(16) uint8_t arena[MW_TFLM_ARENA_BYTES];
tflite::MicroMutableOpResolver<MW_TFLM_OPERATORS> resolver;
/* Made at the first initialization, for ever; there is one network. */
tflite::MicroInterpreter *interpreter;

constexpr size_t row_bytes = MW_MODEL_INPUTS;
/* What an input tensor holds before the receptive field: samples no output depends on. */
constexpr size_t spare_rows = MW_TFLM_WINDOW - MW_MODEL_RECEPTIVE_FIELD;

bool is_int8(const TfLiteTensor *tensor) {
    return tensor != nullptr && tensor->type == kTfLiteInt8;
}

/* Whether the tensors have the shapes the tables say. */
bool tensors_are_right() {
    const TfLiteTensor *input = interpreter->input(0);
    if (!is_int8(input) || input->bytes != MW_TFLM_WINDOW * row_bytes ||
        interpreter->outputs_size() != MW_TFLM_OUTPUT_TENSORS) {
        return false;
    }
    size_t outputs = 0;
    for (size_t i = 0; i < MW_TFLM_OUTPUT_TENSORS; i++) {
        const TfLiteTensor *output = interpreter->output(i);
        if (!is_int8(output) || output->dims->size < 1) {
            return false;
        }
        outputs += static_cast<size_t>(output->dims->data[output->dims->size - 1]);
    }
    return outputs == MW_MODEL_OUTPUTS;
}

/* Copies the ring into the input tensor, the oldest sample first. */
void fill_input(const mw_inference *inference) {
    int8_t *to = interpreter->input(0)->data.int8;
    std::memset(to, 0, spare_rows * row_bytes);
    to += spare_rows * row_bytes;
    const size_t older = MW_MODEL_RECEPTIVE_FIELD - inference->next;
    std::memcpy(to, inference->window[inference->next], older * row_bytes);
    std::memcpy(to + older * row_bytes, inference->window, inference->next * row_bytes);
}

/* Takes the newest vector of every output tensor. */
void take_outputs(mw_inference *inference) {
    int8_t *to = inference->held;
    for (size_t i = 0; i < MW_TFLM_OUTPUT_TENSORS; i++) {
        const TfLiteTensor *output = interpreter->output(i);
        const auto channels = static_cast<size_t>(output->dims->data[output->dims->size - 1]);
        std::memcpy(to, output->data.int8 + output->bytes - channels, channels);
        to += channels;
    }
}

}  // namespace

mw_status mw_inference_init(mw_inference *inference) {
    if (interpreter == nullptr) {
        const tflite::Model *model = tflite::GetModel(mw_tflm_model);
        if (model->version() != TFLITE_SCHEMA_VERSION) {
            return MW_ERROR_FORMAT;
        }
        if (mw_tflm_add_operators(resolver) != kTfLiteOk) {
            return MW_ERROR_MODEL;
        }
        static tflite::MicroInterpreter only(model, resolver, arena, sizeof arena);
        if (only.AllocateTensors() != kTfLiteOk) {
            return MW_ERROR_SIZE;
        }
        interpreter = &only;
    }
    if (!tensors_are_right()) {
        return MW_ERROR_MODEL;
    }
    mw_inference_reset(inference);
    return MW_OK;
}

void mw_inference_reset(mw_inference *inference) {
    inference->next = 0;
    inference->until_run = MW_MODEL_RECEPTIVE_FIELD;
    std::memset(inference->held, mw_model_info.output_zero_point, sizeof inference->held);
}

void mw_inference_step(mw_inference *inference, const int8_t *in, int8_t *out) {
    std::memcpy(inference->window[inference->next], in, row_bytes);
    inference->next = (inference->next + 1u) % MW_MODEL_RECEPTIVE_FIELD;
    if (--inference->until_run == 0u) {
        inference->until_run = MW_TFLM_HOP;
        fill_input(inference);
        /* Fails only when a kernel does: then there is no newer prediction than the last. */
        if (interpreter->Invoke() == kTfLiteOk) {
            take_outputs(inference);
        }
    }
    std::memcpy(out, inference->held, sizeof inference->held);
}
