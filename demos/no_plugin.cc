// A shared library that is no demo, for the host's test.

extern "C" int NoDemo() { return 0; }
