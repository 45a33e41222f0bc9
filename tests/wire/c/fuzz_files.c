/* Runs a fuzz target over the files named, where there is no libFuzzer. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define FILE_MAX (1u << 20)

static uint8_t bytes[FILE_MAX];

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        size_t length = fread(bytes, 1u, sizeof bytes, file);
        (void)fclose(file);
        (void)fprintf(stderr, "%s\n", argv[i]); /* so that an abort is known to be this file's */
        (void)LLVMFuzzerTestOneInput(bytes, length);
    }
    return EXIT_SUCCESS;
}
