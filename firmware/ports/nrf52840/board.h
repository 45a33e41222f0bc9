/* What differs between the boards of this port; the board's JSON defines it.
 *
 * A pin is a number as in the PSEL registers: 32 * port + pin. */
#ifndef MW_BOARD_H
#define MW_BOARD_H

#if !defined(MW_PIN_TXD) || !defined(MW_PIN_RXD) || !defined(MW_PIN_SDA) || !defined(MW_PIN_SCL) || \
    !defined(MW_PIN_IMU_INT1) || !defined(MW_PIN_LED_READY) || !defined(MW_PIN_LED_SAMPLING) || \
    !defined(MW_PIN_LED_FAULT)
#error "the board's JSON defines its pins"
#endif

/* MW_PIN_IMU_POWER is there only where a pin feeds the IMU. */

#endif
