// Command restore-wait is the init container that holds a restored pod until the
// data of its volumes is there. It takes one argument, the UID of the Restore,
// and is a drop-in for Velero's restore helper. See docs/restore-wait.md.
//
// It must stay below 8 MiB of resident memory, so it imports nothing but the
// standard library and package initwait.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/podkeep/podkeep/initwait"
)

const (
	// deadlineVariable bounds the wait, as a Go duration.
	deadlineVariable = "RESTORE_WAIT_DEADLINE"

	exitOK     = 0
	exitFailed = 1

	// exitSignalBase plus the number of a signal is the exit code of a process
	// that the signal ended.
	exitSignalBase = 128

	// memoryLimitBytes is where the collector starts to work hard. The heap stays
	// far below; the limit is for pods with thousands of volumes.
	memoryLimitBytes = 6 << 20

	// gcPercent makes the collector run often: the heap is tiny, so runs cost
	// nothing, and memory is what counts here.
	gcPercent = 20

	usage = `usage: restore-wait RESTORE-UID

Waits until every folder below /restores holds the file .velero/RESTORE-UID,
removes the .velero folders and exits 0.

  RESTORE_WAIT_DEADLINE   longest wait, such as 30m (default: none)

exit codes: 0 all volumes are restored, 1 deadline passed, restore failed or bad use,
            130 ended by SIGINT, 143 ended by SIGTERM`
)

func main() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimitBytes)
	os.Exit(run(os.Args[1:], os.Getenv(deadlineVariable), folders{root: initwait.DefaultRoot, notices: initwait.DefaultNotices}))
}

// folders are where volumes and notices are.
type folders struct{ root, notices string }

// run is main without its surroundings.
func run(args []string, deadline string, where folders) int {
	w, err := newWaiter(args, deadline)
	if err != nil {
		fail(os.Stderr, err)
		_, _ = fmt.Fprintln(os.Stderr, usage)
		return exitFailed
	}
	w.Root, w.Notices = where.root, where.notices
	w.Out = os.Stdout

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { cancel(signalError{(<-signals).(syscall.Signal)}) }()

	return exitCode(w.Run(ctx))
}

// newWaiter checks what the process was started with.
func newWaiter(args []string, deadline string) (initwait.Waiter, error) {
	if len(args) != 1 {
		return initwait.Waiter{}, fmt.Errorf("exactly one argument is needed, the UID of the Restore; got %d", len(args))
	}
	uid := args[0]
	if !filepath.IsLocal(uid) || strings.ContainsRune(uid, '/') || uid == "." {
		return initwait.Waiter{}, fmt.Errorf("argument: Invalid value: %q: must be the UID of a Restore", uid)
	}
	w := initwait.Waiter{UID: uid}
	if deadline == "" {
		return w, nil
	}
	d, err := time.ParseDuration(deadline)
	if err != nil || d <= 0 {
		return initwait.Waiter{}, fmt.Errorf("%s: Invalid value: %q: must be a positive Go duration such as 30m", deadlineVariable, deadline)
	}
	w.Deadline = d
	return w, nil
}

// signalError is a signal that ended the wait.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "ended by " + e.signal.String() }

// exitCode prints how the wait ended, if not well, and returns the exit code.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	fail(os.Stderr, err)
	if e, ok := errors.AsType[signalError](err); ok {
		return exitSignalBase + int(e.signal)
	}
	return exitFailed
}

func fail(out io.Writer, err error) {
	_, _ = fmt.Fprintln(out, "restore-wait:", err)
}
