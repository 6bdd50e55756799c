#ifndef KO_TESTING_MOUNT_OVER_H_
#define KO_TESTING_MOUNT_OVER_H_

namespace ko::testing {

// Puts a tmpfs(5) with the mount options over a folder, in a mount namespace that becomes this process's own, hence only in
// a child of the test (see in_child.h). False where the process may not.
bool MountOver(const char* folder, const char* options = "", unsigned long flags = 0);

}  // namespace ko::testing

#endif  // KO_TESTING_MOUNT_OVER_H_
