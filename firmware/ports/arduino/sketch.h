/* The sketch: what Arduino's setup() and loop() call. */
#ifndef MW_ARDUINO_SKETCH_H
#define MW_ARDUINO_SKETCH_H

#ifdef __cplusplus
extern "C" {
#endif

/* Once: brings everything up. */
void mw_sketch_setup(void);

/* For ever: one round of the main loop. */
void mw_sketch_loop(void);

#ifdef __cplusplus
}
#endif

#endif
