/*
 * fuzz.h: what the fuzz targets share. A target is one program of libFuzzer, fuzz_*.c. It checks more than that nothing
 * crashes; the comment at its head says what. Its seeds are in corpus/, in the folder of its name (run.sh has the
 * form).
 */
#ifndef CHITCHAT_TESTS_FUZZ_FUZZ_H
#define CHITCHAT_TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The input from which a target takes its numbers and texts, front to back. At the end it gives zeros. */
struct fuzz_input {
    const uint8_t *data;
    size_t bytes;
};

/* A number of `count` bytes, at most 8, big endian: seeds are easier to write so. */
static inline uint64_t fuzz_number(struct fuzz_input *input, size_t count)
{
    uint64_t number = 0;
    for (; count > 0; count--) {
        number = number << 8 | (input->bytes > 0 ? *input->data : 0);
        input->data += input->bytes > 0;
        input->bytes -= input->bytes > 0;
    }
    return number;
}

/* The next `bytes` of the input, fewer at its end. Borrowed from the input. */
static inline struct span fuzz_span(struct fuzz_input *input, size_t bytes)
{
    struct span span = {(const char *)input->data, bytes < input->bytes ? bytes : input->bytes};
    input->data += span.bytes;
    input->bytes -= span.bytes;
    return span;
}

/* A copy in memory of its own, so that AddressSanitizer sees each access outside. The caller frees it. */
static inline char *fuzz_copy(const void *data, size_t bytes)
{
    char *copy = malloc(bytes + (bytes == 0));
    ASSERT(copy != NULL);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

#endif
