# find_package(ko) gives the target ko::ko. The folder that holds lib/ and include/ may be moved.
get_filename_component(_ko_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
include(CMakeFindDependencyMacro)
find_dependency(Threads)
if(NOT TARGET ko::ko)
  add_library(ko::ko SHARED IMPORTED)
  set_target_properties(ko::ko PROPERTIES
    IMPORTED_LOCATION "${_ko_prefix}/lib/libko.so.@VERSION@"
    IMPORTED_SONAME "libko.so.@VERSION@"
    INTERFACE_INCLUDE_DIRECTORIES "${_ko_prefix}/include"
    INTERFACE_COMPILE_FEATURES cxx_std_20
    INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()
unset(_ko_prefix)
