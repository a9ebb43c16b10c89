# Writes OUT, the C file behind src/protocol/web_files.h, from the files of DIR whose names NAMES lists, with commas:
# cmake -DDIR=… -DNAMES=a,b -DOUT=… -P web_files.cmake
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

string(REPLACE "," ";" names "${NAMES}")
set(arrays "")
set(rows "")
set(index 0)
foreach(name IN LISTS names)
    string(REGEX MATCH "[a-z]+$" suffix "${name}")
    if(NOT DEFINED type_${suffix})
        message(FATAL_ERROR "${DIR}/${name}: there is no content type for .${suffix}: add it to web_files.cmake")
    endif()
    set(path "/${name}")
    if(name STREQUAL "index.html")
        set(path "/")
    endif()
    file(SHA256 "${DIR}/${name}" digest)
    string(SUBSTRING "${digest}" 0 32 digest)
    file(READ "${DIR}/${name}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "((0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],))" "\\1\n"
        bytes "${bytes}")
    string(APPEND arrays "static const unsigned char file_${index}[] = {${bytes}};
_Static_assert(sizeof file_${index} <= WEB_FILE_BYTES_MAX, \"${name} is too large\");
")
    string(APPEND rows "    {SPAN_INIT(\"${path}\"), \"${type_${suffix}}\", \"\\\"${digest}\\\"\",
     {(const char *)file_${index}, sizeof file_${index}}},
")
    math(EXPR index "${index} + 1")
endforeach()

file(WRITE "${OUT}" "/* Made by cmake/web_files.cmake. */
#include \"protocol/web_files.h\"

#define SPAN_INIT(text) {text, sizeof text - 1}

${arrays}
static const struct web_file files[] = {
${rows}};

const struct web_file *web_files(uint32_t *count_r)
{
    *count_r = ${index};
    return files;
}
")
