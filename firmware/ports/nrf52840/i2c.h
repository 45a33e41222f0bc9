/* The IMU's bus over TWIM0: blocking for set-up, by EasyDMA and interrupt for samples. */
#ifndef MW_I2C_H
#define MW_I2C_H

#include "acquisition.h"

/* Prepares the pins and TWIM0, and powers the IMU where a pin does that. */
void mw_i2c_init(mw_acquisition *acquisition);

#endif
