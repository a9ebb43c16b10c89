/* The files of the web client, as they were built into the program. */
#include "protocol/web_files.h"

#include <criterion/criterion.h>

static const struct web_file *find(const char *path)
{
    uint32_t count;
    const struct web_file *files = web_files(&count);
    for (uint32_t i = 0; i < count; i++)
        if (span_equal(files[i].path, span_of(path)))
            return &files[i];
    return NULL;
}

Test(web_files, the_page_its_style_and_its_script_have_their_types)
{
    cr_assert_str_eq(find("/")->type, "text/html; charset=utf-8");
    cr_assert_str_eq(find("/style.css")->type, "text/css; charset=utf-8");
    cr_assert_str_eq(find("/app.js")->type, "text/javascript; charset=utf-8");
    cr_assert_null(find("/index.html"));
}

Test(web_files, the_page_is_there_to_its_last_byte)
{
    struct span page = find("/")->body;
    const char end[] = "</html>\n";
    cr_assert_eq(memcmp(page.data, "<!doctype html>", 15), 0);
    cr_assert_eq(memcmp(page.data + page.bytes - (sizeof end - 1), end, sizeof end - 1), 0);
}

Test(web_files, paths_and_etags_differ_and_etags_have_quotes)
{
    uint32_t count;
    const struct web_file *files = web_files(&count);
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = strlen(files[i].etag);
        cr_assert_eq(bytes, 34);
        cr_assert(files[i].etag[0] == '"' && files[i].etag[bytes - 1] == '"');
        for (uint32_t j = 0; j < i; j++) {
            cr_assert_not(span_equal(files[i].path, files[j].path));
            cr_assert_str_neq(files[i].etag, files[j].etag);
        }
    }
}
