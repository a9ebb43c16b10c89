#include "ephemeral/names.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define COUNT 1000u

struct one {
    struct name name;
    char text[16];
};

static struct one ones[COUNT];

static struct span text_of(struct one *one, uint32_t number)
{
    snprintf(one->text, sizeof one->text, "user-%u", number);
    return span_of(one->text);
}

Test(names, each_is_found_until_it_is_removed)
{
    struct names names;
    names_init(&names, (struct hash_key){1, 2});
    cr_assert_null(names_find(&names, SPAN_LITERAL("user-0")));
    cr_assert_null(names_any(&names));
    for (uint32_t i = 0; i < COUNT; i++) {
        ones[i].name.text = text_of(&ones[i], i);
        cr_assert(names_add(&names, &ones[i].name));
    }
    for (uint32_t i = 0; i < COUNT; i += 2)
        names_remove(&names, &ones[i].name);
    cr_assert_eq(names.count, COUNT / 2);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct one asked;
        struct name *found = names_find(&names, text_of(&asked, i));
        cr_assert_eq(found, i % 2 == 0 ? NULL : &ones[i].name);
    }
    for (struct name *name; (name = names_any(&names)) != NULL;)
        names_remove(&names, name);
    cr_assert_eq(names.count, 0);
    names_fini(&names);
}
