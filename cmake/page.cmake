# Writes OUT, the C file behind src/protocol/page.h, from the page IN: cmake -DIN=… -DOUT=… -P page.cmake
file(READ "${IN}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],))" "\\1 "
    bytes "${bytes}")
file(WRITE "${OUT}" "/* Made from the page by cmake/page.cmake. */
#include \"protocol/page.h\"

static const unsigned char page[] = {${bytes}};

const char *page_html(void)
{
    return (const char *)page;
}

size_t page_html_bytes(void)
{
    return sizeof page;
}
")
