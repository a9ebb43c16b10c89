#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "cli/chat_complete.h"

static struct chat_completion completion;

/* What the tab key adds behind `stem`, of a list of words. */
static const char *rest_of(const char *stem, const char *const *words)
{
    static char rest[LIMIT_USER_BYTES + 1];
    chat_complete_begin(&completion, span_of(stem));
    for (; *words != NULL; words++)
        chat_complete_add(&completion, span_of(stem), *words);
    struct span span = chat_complete_rest(&completion);
    memcpy(rest, span.data, span.bytes);
    rest[span.bytes] = '\0';
    return rest;
}

static const char *const names[] = {"bob", "bonnie", "carol", "bobby", NULL};

Test(chat_complete, one_word_that_fits_is_completed)
{
    cr_assert_str_eq(rest_of("c", names), "arol");
    cr_assert_eq(completion.count, 1);
    cr_assert_str_eq(rest_of("carol", names), "");
    cr_assert_eq(completion.count, 1);
}

Test(chat_complete, several_give_what_they_begin_with_and_are_named)
{
    cr_assert_str_eq(rest_of("b", names), "o");
    cr_assert_eq(completion.count, 3);
    cr_assert_str_eq(completion.fitting[0], "bob");
    cr_assert_str_eq(completion.fitting[2], "bobby");
    cr_assert_str_eq(rest_of("bob", names), "", "one of them is whole");
    cr_assert_eq(completion.count, 2);
    cr_assert_str_eq(rest_of("", names), "");
    cr_assert_eq(completion.count, 4);
}

Test(chat_complete, what_fits_nothing_gets_nothing)
{
    char longer[2 * LIMIT_USER_BYTES];
    cr_assert_str_eq(rest_of("x", names), "");
    cr_assert_eq(completion.count, 0);
    memset(longer, 'b', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    cr_assert_str_eq(rest_of(longer, names), "");
    cr_assert_eq(completion.count, 0);
}

Test(chat_complete, more_words_than_are_named_are_counted)
{
    char words[CHAT_FITTING_MAX + 5][8];
    const char *list[CHAT_FITTING_MAX + 6] = {NULL};
    for (uint32_t i = 0; i < CHAT_FITTING_MAX + 5; i++) {
        snprintf(words[i], sizeof words[i], "u%02u", i);
        list[i] = words[i];
    }
    cr_assert_str_eq(rest_of("u", list), "");
    cr_assert_eq(completion.count, CHAT_FITTING_MAX + 5);
}
