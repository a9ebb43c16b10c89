#include "cli/chat_complete.h"

#include <string.h>

#include "base/assert.h"

void chat_complete_begin(struct chat_completion *completion, struct span stem)
{
    *completion = (struct chat_completion){.stem_bytes = stem.bytes};
}

void chat_complete_add(struct chat_completion *completion, struct span stem, const char *word)
{
    size_t bytes = strlen(word);
    ASSERT(bytes <= LIMIT_USER_BYTES);
    ASSERT(stem.bytes == completion->stem_bytes);
    if (bytes < stem.bytes || memcmp(word, stem.data, stem.bytes) != 0)
        return;
    if (completion->count < CHAT_FITTING_MAX)
        completion->fitting[completion->count] = word;
    if (completion->count++ == 0) {
        memcpy(completion->common, word, bytes + 1);
        return;
    }
    size_t same = 0;
    while (completion->common[same] != '\0' && completion->common[same] == word[same])
        same++;
    completion->common[same] = '\0';
}

struct span chat_complete_rest(const struct chat_completion *completion)
{
    if (completion->count == 0)
        return (struct span){"", 0};
    ASSERT(strlen(completion->common) >= completion->stem_bytes);
    return span_of(completion->common + completion->stem_bytes);
}
