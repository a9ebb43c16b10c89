# The Debian packages: `./dev package`. chitchat is the server; chitchat-postgresql the plug-in for clusters, so that a server
# without a cluster needs no library of PostgreSQL. The target `package_parts` builds what the package has; cpack then only packs.
set(CHITCHAT_PACKAGE_VERSION ${PROJECT_VERSION} CACHE STRING "Version of the package")
set(CHITCHAT_MAINTAINER "chitchat maintainers <root@localhost>" CACHE STRING "Maintainer of the package: NAME <ADDRESS>")
set(PACKAGE_DIR ${CMAKE_BINARY_DIR}/package)
file(MAKE_DIRECTORY ${PACKAGE_DIR})

foreach(program chitchat chitchat-load)
    add_custom_command(OUTPUT ${PACKAGE_DIR}/${program}.1.gz
        COMMAND ${CMAKE_SOURCE_DIR}/packaging/man.sh $<TARGET_FILE:${program}>
            ${CMAKE_SOURCE_DIR}/packaging/${program}.1.in ${PROJECT_VERSION} ${PACKAGE_DIR}/${program}.1
        COMMAND gzip -9nf ${PACKAGE_DIR}/${program}.1
        DEPENDS ${program} packaging/man.sh packaging/${program}.1.in
        VERBATIM)
    list(APPEND MAN_PAGES ${PACKAGE_DIR}/${program}.1.gz)
endforeach()
add_custom_target(package_parts DEPENDS ${MAN_PAGES})

set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME server)
set(CPACK_COMPONENTS_ALL server)
if(TARGET log_pg)
    add_dependencies(package_parts log_pg)
    install(TARGETS log_pg LIBRARY DESTINATION lib/chitchat COMPONENT postgresql)
    list(APPEND CPACK_COMPONENTS_ALL postgresql)
endif()
install(TARGETS chitchat chitchat-load RUNTIME DESTINATION bin)
install(FILES ${MAN_PAGES} DESTINATION share/man/man1)
install(FILES packaging/chitchat.service DESTINATION lib/systemd/system)
install(FILES packaging/chitchat.conf DESTINATION /etc/chitchat)
foreach(program chitchat chitchat-load)
    install(FILES packaging/chitchat.bash-completion DESTINATION share/bash-completion/completions RENAME ${program})
endforeach()
install(FILES README.md PROTOCOL.md docs/OPERATIONS.md docs/INSTALL.md docs/CLUSTER.md docs/CLUSTER_NODE.md docs/MOVING.md docs/HTTP_API.md docs/TERMINAL.md
    docs/asyncapi.yaml docs/openapi.yaml docs/PERFORMANCE.md DESTINATION share/doc/chitchat)
install(DIRECTORY docs/monitoring DESTINATION share/doc/chitchat)

# cpack does not build: else it would build the tests too.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VERSION ${CHITCHAT_PACKAGE_VERSION})
set(CPACK_PACKAGE_CONTACT ${CHITCHAT_MAINTAINER})
set(CPACK_PACKAGE_DIRECTORY ${PACKAGE_DIR})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_SERVER_PACKAGE_NAME chitchat)
set(CPACK_DEBIAN_SERVER_DESCRIPTION "chat server over WebSockets
Clients log in as users and send text to other users, in real time. A message
that the server acknowledged is on the disk, in the history of both users.
The package has the server with its systemd service, and a load generator
that checks what it gets. The kernel must allow io_uring (Linux 6.1 or newer).")
set(CPACK_DEBIAN_POSTGRESQL_PACKAGE_NAME chitchat-postgresql)
set(CPACK_DEBIAN_POSTGRESQL_PACKAGE_DEPENDS "chitchat (= ${CPACK_PACKAGE_VERSION})")
set(CPACK_DEBIAN_POSTGRESQL_DESCRIPTION "chat server over WebSockets, log of a cluster in PostgreSQL
The plug-in by which chitchat keeps the log of a cluster in PostgreSQL servers.
A server without a cluster does not need it.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/packaging/debian/postinst
    ${CMAKE_SOURCE_DIR}/packaging/debian/prerm ${CMAKE_SOURCE_DIR}/packaging/debian/postrm
    ${CMAKE_SOURCE_DIR}/packaging/debian/conffiles)
# Debug symbols go into packages of their own, chitchat-dbgsym and chitchat-postgresql-dbgsym.
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE ON)
include(CPack)
