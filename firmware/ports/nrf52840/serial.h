/* The serial line over UARTE0, by EasyDMA both ways. */
#ifndef MW_SERIAL_H
#define MW_SERIAL_H

#include "app.h"

/* Before mw_app_init, which sends; interrupts masked. Bytes that come meanwhile wait. */
void mw_serial_init(mw_app *app);

/* Does what the interrupt does. The main loop calls it each round: with it nothing waits for longer
 * than the wake-up tick, whatever interrupt was lost. */
void mw_serial_serve(void);

#endif
