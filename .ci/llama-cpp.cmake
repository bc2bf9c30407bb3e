# What the tests need of llama.cpp, built in a third of the time: no chat templates, tools or
# images, and optimised only where numbers are computed. The Makefile passes it to llama-cpp-python.
set(LLAVA_BUILD OFF)
set(LLAMA_BUILD_COMMON OFF)
set(LLAMA_BUILD_TESTS OFF)
set(LLAMA_BUILD_TOOLS OFF)
set(LLAMA_BUILD_EXAMPLES OFF)
set(LLAMA_BUILD_SERVER OFF)
set(LLAMA_BUILD_APP OFF)
set(GGML_CPU_REPACK OFF)
set(GGML_LLAMAFILE OFF)
set(CMAKE_C_FLAGS_RELEASE "-O1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELEASE "-O1 -DNDEBUG")
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL
    set_property TARGET llama APPEND PROPERTY COMPILE_OPTIONS -O0)
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL
    target_precompile_headers llama PRIVATE
    <algorithm> <functional> <map> <memory> <regex> <set> <string> <unordered_map> <vector>)
