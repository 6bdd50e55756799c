#ifndef KO_OS_CHILD_CODE_H_
#define KO_OS_CHILD_CODE_H_

// Before the definition of a function that new processes run ahead of their bodies. A fork does not copy the page tables of the
// program's code: a child faults its pages in, a neighbourhood of 64 KiB at a time. Compilers put what is called hot into one
// section, which linkers gather from all over the program, so that a child enters one or two neighbourhoods instead of ten.
#define KO_CHILD_CODE [[gnu::hot]]

#endif  // KO_OS_CHILD_CODE_H_
