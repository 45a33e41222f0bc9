/* What is kept of a processor fault, over the reset that follows, for the next boot's log. */
#ifndef MW_FAULT_H
#define MW_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#define MW_FAULT_TEXT_SIZE 160u

/* Whether the last run ended in a fault. The same answer until the next reset. */
bool mw_fault_happened(void);

/* Reads, and forgets, what was kept; call once, first at boot. */
void mw_fault_init(void);

/* Writes the fault as one line: the registers of the code that failed and the core's own account. */
void mw_fault_text(char text[MW_FAULT_TEXT_SIZE]);

#endif
