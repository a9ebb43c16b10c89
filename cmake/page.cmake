# Writes OUT, the C file behind src/protocol/page.h, from the page IN: cmake -DIN=… -DOUT=… -P page.cmake
#
# The policy allows the page's one script and one style sheet by their hashes. So it needs neither 'unsafe-inline' nor
# files of their own, and is as strict where the page shares its origin with others, under a path prefix. 'self' for
# connect-src covers ws and wss of the same host and port (CSP Level 3).
file(READ "${IN}" hex HEX)
file(READ "${IN}" html)

# Sets OUT to 'sha256-…' of what is between <NAME> and </NAME>.
function(hash_source name out)
    string(FIND "${html}" "<${name}>" begin)
    string(FIND "${html}" "</${name}>" end)
    string(FIND "${html}" "<${name}>" last REVERSE)
    if(begin EQUAL -1 OR end LESS begin OR NOT begin EQUAL last)
        message(FATAL_ERROR "${IN} must have one <${name}> without attributes")
    endif()
    string(LENGTH "<${name}>" tag_bytes)
    math(EXPR begin "${begin} + ${tag_bytes}")
    math(EXPR bytes "${end} - ${begin}")
    string(SUBSTRING "${html}" ${begin} ${bytes} text)
    string(SHA256 digest "${text}")
    # Base64: 12 bits, three hexadecimal digits, are two characters. 256 bits are 21 times that, 4 bits, and one =.
    set(alphabet "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    set(base64 "")
    string(APPEND digest "00")
    foreach(i RANGE 21)
        math(EXPR at "${i} * 3")
        string(SUBSTRING "${digest}" ${at} 3 digits)
        math(EXPR high "0x${digits} >> 6")
        math(EXPR low "0x${digits} & 63")
        string(SUBSTRING "${alphabet}" ${high} 1 first)
        string(SUBSTRING "${alphabet}" ${low} 1 second)
        string(APPEND base64 "${first}${second}")
    endforeach()
    string(SUBSTRING "${base64}" 0 43 base64)
    set(${out} "'sha256-${base64}='" PARENT_SCOPE)
endfunction()
hash_source(script script)
hash_source(style style)

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

const char *page_policy(void)
{
    return \"default-src 'none'; script-src ${script}; style-src ${style}; connect-src 'self'; \"
           \"base-uri 'none'; form-action 'none'; frame-ancestors 'none'\";
}
")
