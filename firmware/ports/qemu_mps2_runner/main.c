/* Streams a file of samples through the engine on an emulated board and counts the instructions.
 *
 * Reads input.bin, writes output.bin and ticks.bin (uint64_t timer ticks spent in the engine, little
 * endian) in the emulator's working directory. input.bin holds int8 network inputs, or int16 raw
 * counts when MW_RUNNER_COUNTS is defined; these go through mw_scale_input() inside the timed part.
 * Under `-icount shift=0` an instruction takes 1 ns, so ticks are instructions. With MW_RUNNER_BLOCK
 * defined, mw_engine_step_block() takes that many int8 samples a pass. */
#include "handlers.h"
#include "model_data.h"
#include "semihost.h"
#include "soc.h"

enum { CHUNK = 512 };

#ifdef MW_RUNNER_COUNTS
typedef int16_t sample;
#ifdef MW_MODEL_HAS_INFO
#define SCALING mw_model_info.input
#else
/* A network without a card: the upper byte of each count. */
static const int16_t multipliers[MW_MODEL_INPUTS] = {[0 ... MW_MODEL_INPUTS - 1] = 128};
static const mw_input_scaling SCALING = {multipliers, MW_MODEL_INPUTS, 15U, 0};
#endif
#else
typedef int8_t sample;
#endif

#ifndef MW_RUNNER_BLOCK
#define MW_RUNNER_BLOCK 1U
#endif
static uint32_t state[MW_MODEL_BLOCK_STATE_BYTES(MW_RUNNER_BLOCK) / sizeof(uint32_t)];
static sample input[CHUNK][MW_MODEL_INPUTS];
static int8_t output[CHUNK][MW_MODEL_OUTPUTS];

/* startup.c's vector table names the firmware's handlers; nothing enables an interrupt here. */
void mw_serial_interrupt(void) {}
void mw_imu_interrupt(void) {}
void mw_sample_clock_interrupt(void) {}
void mw_time_interrupt(void) {}

static void timer_start(void) {
#if defined(MW_SOC_MPS2)
    TIMER1->RELOAD = UINT32_MAX;
    TIMER1->VALUE = UINT32_MAX;
    TIMER1->CTRL = TIMER_CTRL_ENABLE;
#else
    SSE_COUNTER_CNTCR = 1U;
#endif
}

/* Counts up and wraps; a chunk takes far less than a turn. */
static uint32_t timer_ticks(void) {
#if defined(MW_SOC_MPS2)
    return UINT32_MAX - TIMER1->VALUE;
#else
    return SSE_TIMER0->CNTPCT_LOW;
#endif
}

static void run(mw_engine *engine, size_t samples) {
#if !defined(MW_RUNNER_COUNTS)
    if (MW_RUNNER_BLOCK > 1U) {
        mw_engine_step_block(engine, input[0], output[0], samples);
        return;
    }
#endif
    for (size_t i = 0; i < samples; ++i) {
#ifdef MW_RUNNER_COUNTS
        int8_t scaled[MW_MODEL_INPUTS];
        mw_scale_input(&SCALING, input[i], scaled);
        mw_engine_step(engine, scaled, output[i]);
#else
        mw_engine_step(engine, input[i], output[i]);
#endif
    }
}

int main(void) {
    mw_engine engine;
    if (mw_engine_init_block(&engine, &mw_model_data, state, sizeof state, MW_RUNNER_BLOCK) !=
        MW_OK) {
        semihost_exit(1);
    }
    const int32_t source = semihost_open("input.bin", SEMIHOST_READ);
    const int32_t target = semihost_open("output.bin", SEMIHOST_WRITE);
    const int32_t report = semihost_open("ticks.bin", SEMIHOST_WRITE);
    if (source < 0 || target < 0 || report < 0) {
        semihost_exit(1);
    }
    timer_start();
    uint64_t ticks = 0;
    for (;;) {
        const size_t samples = semihost_read(source, input, sizeof input) / sizeof input[0];
        if (samples == 0U) {
            break;
        }
        const uint32_t before = timer_ticks();
        run(&engine, samples);
        ticks += timer_ticks() - before;
        if (semihost_write(target, output, samples * sizeof output[0]) != 0) {
            semihost_exit(1);
        }
    }
    semihost_exit(semihost_write(report, &ticks, sizeof ticks) != 0);
}
