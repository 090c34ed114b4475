/* replay.c - runs a fuzz target once on each file named: what libFuzzer's main() does, without clang. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
    static uint8_t data[1 << 20];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            perror(argv[i]);
            return 1;
        }
        size_t size = fread(data, 1, sizeof(data), file);
        fclose(file);
        (void)LLVMFuzzerTestOneInput(data, size);
        for (size_t cut = 0; cut < size; cut += 1 + size / 16) {
            (void)LLVMFuzzerTestOneInput(data, cut);
        }
    }
    return 0;
}
