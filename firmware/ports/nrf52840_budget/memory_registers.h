/* The nRF52840's registers as plain memory of the emulated board, for counting instructions.
 *
 * Included before every source of the port. Addresses stay constants to the compiler, as the real
 * ones are; those of the core itself are left alone. */
#ifndef MW_MEMORY_REGISTERS_H
#define MW_MEMORY_REGISTERS_H

#define MW_MEMORY_REGISTERS 0x20300000u
#define MW_REGISTER_PLACE(address)                                                                 \
    ((address) >= 0xE0000000u                                                                      \
         ? (address)                                                                               \
         : MW_MEMORY_REGISTERS + ((address) & 0x3FFFFu) +                                          \
               ((address) >= 0x50000000u ? 0x40000u : 0u) +                                        \
               ((address) < 0x40000000u ? 0x50000u : 0u))
#define MW_REGISTER(address) (*(volatile uint32_t *)MW_REGISTER_PLACE(address))

#endif
