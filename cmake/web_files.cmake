# Writes OUT, the C file behind src/protocol/web_files.h, from the files of DIR whose names NAMES lists, with commas:
# cmake -DDIR=… -DNAMES=a,b -DOUT=… -P web_files.cmake
#
# Indentation, comments of scripts that begin a line or follow a statement, and those of styles that are a line, are left
# out: a sixth of the bytes. Lines keep their numbers. So no string in these files spans lines, and none in a script has two
# slashes behind a semicolon, a comma or a brace.
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
    file(READ "${DIR}/${name}" text)
    if(suffix STREQUAL "js")
        string(REGEX REPLACE "\n *//[^\n]*" "\n" text "\n${text}")
        string(REGEX REPLACE "([;,{]) // [^\n]*" "\\1" text "${text}")
        string(SUBSTRING "${text}" 1 -1 text)
    elseif(suffix STREQUAL "css")
        string(REGEX REPLACE "\n/\\*[^\n]*\\*/" "\n" text "\n${text}")
        string(SUBSTRING "${text}" 1 -1 text)
    endif()
    string(REGEX REPLACE "\n +" "\n" text "${text}")
    string(SHA256 digest "${text}")
    string(SUBSTRING "${digest}" 0 32 digest)
    string(HEX "${text}" hex)
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
