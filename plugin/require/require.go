// Package require says what a test needs of the machine it runs on. It owns no
// state; tests of every package call it first and nothing else may import it.
//
// A test without what it needs is skipped, and the reason says what is missing
// and how to get it. Where a skip would hide something, as in continuous
// integration, LAGAN_REQUIRE names what must be there, separated by commas
// (LAGAN_REQUIRE=root,fuse), and its absence is a failure.
package require

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Variable is the environment variable that turns skips into failures.
const Variable = "LAGAN_REQUIRE"

// Root is for tests that mount, make namespaces or use loop devices. A root
// that was stripped of the right to mount, as in most containers, is none.
func Root(t testing.TB) {
	t.Helper()
	settle(t, "root", rootMissing(os.Geteuid(), "/proc/self/status"))
}

// FUSE is for tests that attach a volume through the kernel: root, /dev/fuse
// and loop devices.
func FUSE(t testing.TB) {
	t.Helper()
	Root(t)
	settle(t, "fuse", deviceMissing("/dev/fuse"))
	settle(t, "fuse", deviceMissing("/dev/loop-control"))
}

// Docker is for tests that start container engines of their own, apart from the
// machine's: root, and the programs of an engine.
func Docker(t testing.TB) {
	t.Helper()
	Root(t)
	for program, pkg := range map[string]string{"docker": "docker.io", "dockerd": "docker.io", "busybox": "busybox-static"} { // any order: all of them
		settle(t, "docker", programMissing(program, pkg))
	}
}

// Works is for what can only be known by trying: err is nil, or why thing does
// not work on this machine.
func Works(t testing.TB, thing string, err error) {
	t.Helper()
	if err != nil {
		settle(t, thing, err.Error())
	}
}

// Program is for tests that run a program which pkg, a Debian package, brings.
// In LAGAN_REQUIRE it goes by its own name.
func Program(t testing.TB, name, pkg string) {
	t.Helper()
	settle(t, name, programMissing(name, pkg))
}

// programMissing says that a program is not there, "" if it is.
func programMissing(name, pkg string) string {
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Sprintf("%v; install the package %s", err, pkg)
	}
	return ""
}

// settle lets the test go on if nothing is missing, else ends it.
func settle(t testing.TB, thing, missing string) {
	t.Helper()
	switch {
	case missing == "":
	case slices.Contains(strings.Split(os.Getenv(Variable), ","), thing):
		t.Fatalf("%s required (%s), but %s", thing, Variable, missing)
	default:
		t.Skipf("needs %s: %s", thing, missing)
	}
}

// rootMissing says why a process with this user and this /proc/self/status may
// not administer the machine, "" if it may.
func rootMissing(user int, statusFile string) string {
	const sysAdmin = 21 // CAP_SYS_ADMIN, see capabilities(7)
	if user != 0 {
		return fmt.Sprintf("this is user %d; run it as root", user)
	}
	status, err := os.ReadFile(statusFile)
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(status)) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		capabilities, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return fmt.Sprintf("%s: %v", statusFile, err)
		}
		if capabilities&(1<<sysAdmin) == 0 {
			return "this root lacks CAP_SYS_ADMIN; run it outside a container or in a privileged one"
		}
		return ""
	}
	return statusFile + " names no effective capabilities"
}

// deviceMissing says why a device cannot be opened, "" if it can.
func deviceMissing(name string) string {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprintf("%v; load its kernel module or pass the device in", err)
	}
	if err := f.Close(); err != nil {
		return err.Error()
	}
	return ""
}
