// Package initwait holds a pod until its volumes are restored. It is the body of
// restore-wait, the gate that podkeep injects as the first init container.
//
// Every directory below the root is a volume. A volume is restored when it holds
// the marker .velero/<UID of the Restore>, which the mover writes last. When all
// markers are there, Run removes the marker directories and returns. What the
// server knows and the volumes do not show reaches it as notices: files with
// annotations of its own pod, which the kubelet keeps up to date.
//
// It uses the standard library only and talks to nobody: no API, no network. It
// decides nothing about restores, and it never gives up on its own unless it has
// a deadline or is told to. The contract is that of Velero's helper (velero-facts §7.4); the
// differences are listed in docs/restore-wait.md.
package initwait

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// DefaultRoot is where the injector mounts the volumes, one directory each.
	DefaultRoot = "/restores"

	// MarkerDir is the directory, in the root of a volume, that holds the marker.
	MarkerDir = ".velero"

	// DefaultNotices is the directory in which the injector shows a gate what the
	// server tells it. It is outside of DefaultRoot, whose directories are volumes.
	DefaultNotices = "/podkeep-restore-notices"

	// FailedNotice is the notice that says why the gate can never open.
	FailedNotice = "failed"

	// RestoredNotice is the notice that lists volumes, comma separated, which count as
	// restored whatever markers they have.
	RestoredNotice = "restored"

	// checkInterval is how often markers are looked for. A marker has to be seen
	// within 100 ms; half of that leaves room for a slow file system.
	checkInterval = 50 * time.Millisecond

	// reportInterval is how often the volumes that are missing are printed.
	reportInterval = 10 * time.Second
)

// ErrDeadline is the error of Run when volumes are missing at the deadline.
var ErrDeadline = errors.New("deadline passed")

// ErrNeverOpens is the error of Run when the server has said that data which is
// missing will never come. Its text goes on with the reason.
var ErrNeverOpens = errors.New("the pod does not start")

// Waiter waits for the volumes below Root. All fields but Deadline and
// Notices are required.
type Waiter struct {
	// Root is the directory whose directories are the volumes.
	Root string

	// UID is the name of the marker: the UID of the Restore.
	UID string

	// Notices is the directory of the notices. A directory or a notice that does not
	// exist says nothing; "" means that there are none.
	Notices string

	// Deadline bounds the wait. Zero means that there is none.
	Deadline time.Duration

	// Out gets what a person should read, one line each.
	Out io.Writer
}

// Run returns nil when every volume is restored. It returns ErrDeadline, with
// the names of the missing volumes, when the deadline passes, and the cause of
// ctx when that ends first. It returns ErrNeverOpens when the failed notice says
// so while a volume is missing. A root without directories has nothing to wait for
// and is no error; a root that does not exist is one, because then the volumes
// are not mounted where they are expected.
//
// What cannot be removed afterwards is printed and is no error: the data is
// there, and that is what the application was held back for.
func (w Waiter) Run(ctx context.Context) error {
	root, err := os.OpenRoot(w.Root)
	if err != nil {
		return fmt.Errorf("opening the folder of the volumes: %w", err)
	}
	defer func() { _ = root.Close() }()

	if w.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.Deadline, ErrDeadline)
		defer cancel()
	}
	volumes, err := w.wait(ctx, root)
	if err != nil {
		return err
	}
	w.removeMarkers(root, volumes)
	w.printSummary(volumes)
	return nil
}

// wait returns the volumes, sorted, when all of them are restored.
//
// A marker that was seen once counts for good: another pod that shares the
// volume may remove it while this one still waits for its other volumes.
func (w Waiter) wait(ctx context.Context, root *os.Root) ([]string, error) {
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	report := time.NewTicker(reportInterval)
	defer report.Stop()

	restored := map[string]bool{}
	volumes, missing, err := w.look(root, restored)
	if err == nil && len(missing) > 0 {
		w.printMissing(len(volumes), missing)
	}
	for err == nil && len(missing) > 0 {
		if failed := w.notice(FailedNotice); failed != "" {
			return nil, fmt.Errorf("%w: %s", ErrNeverOpens, failed)
		}
		select {
		case <-ctx.Done():
			return nil, w.giveUp(ctx, missing)
		case <-report.C:
			w.printMissing(len(volumes), missing)
		case <-check.C:
			volumes, missing, err = w.look(root, restored)
		}
	}
	return volumes, err
}

// look returns the names of all volumes and those that are missing, and adds the
// volumes it finds restored to restored.
func (w Waiter) look(root *os.Root, restored map[string]bool) (volumes []string, missing []missingVolume, err error) {
	volumes, err = volumesIn(root)
	if err != nil {
		return nil, nil, err
	}
	told := strings.Split(w.notice(RestoredNotice), ",")
	for _, v := range volumes {
		restored[v] = restored[v] || slices.Contains(told, v)
		if restored[v] {
			continue
		}
		if m, ok := w.lookAt(root, v); !ok {
			missing = append(missing, m)
			continue
		}
		restored[v] = true
	}
	return volumes, missing, nil
}

// lookAt reports whether the volume is restored, and if not, why it is missing.
func (w Waiter) lookAt(root *os.Root, volume string) (missingVolume, bool) {
	_, err := root.Lstat(path.Join(volume, MarkerDir, w.UID))
	switch {
	case err == nil:
		return missingVolume{}, true
	case errors.Is(err, fs.ErrNotExist):
		return missingVolume{name: volume, why: "its data is not restored yet"}, false
	default:
		return missingVolume{name: volume, why: unreadable(root, volume, err)}, false
	}
}

// notice returns what the server says under a name, "" when it says nothing. A
// notice that cannot be read is none: the markers still count.
func (w Waiter) notice(name string) string {
	if w.Notices == "" {
		return ""
	}
	text, _ := os.ReadFile(filepath.Join(w.Notices, name)) // as above
	return strings.TrimSpace(string(text))
}

// missingVolume is a volume whose marker is not seen, and why.
type missingVolume struct {
	name string
	why  string
}

// volumesIn returns the directories of root, sorted. Other entries are no
// volumes and hold nobody back.
func volumesIn(root *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("listing the volumes below %s: %w", root.Name(), err)
	}
	var volumes []string
	for _, e := range entries {
		if e.IsDir() {
			volumes = append(volumes, e.Name())
		}
	}
	slices.Sort(volumes)
	return volumes, nil
}

// unreadable says why a marker cannot be looked for. When permissions are the
// cause it names those of the volume and what to set, because waiting will not
// help then.
func unreadable(root *os.Root, volume string, err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err // the path is known from the name of the volume
	}
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Sprintf("it cannot be read: %v", err)
	}
	mode := "unknown"
	if info, serr := root.Lstat(volume); serr == nil {
		mode = info.Mode().String()
	}
	return fmt.Sprintf("it cannot be read: %v: its mode is %s and restore-wait runs as user %d, group %d; "+
		"set secCtxRunAsUser or secCtx in the ConfigMap of the gate", err, mode, os.Getuid(), os.Getgid())
}

// giveUp is the error of a wait that ended before all volumes were there.
func (w Waiter) giveUp(ctx context.Context, missing []missingVolume) error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, ErrDeadline) {
		return cause
	}
	return fmt.Errorf("%w: after %s, not restored: %s; see why with: podkeep restore describe, "+
		"or kubectl -n <podkeep's namespace> get podvolumerestores -l velero.io/restore-uid=%s",
		ErrDeadline, w.Deadline, describe(missing), w.UID)
}

// removeMarkers removes the marker directories, so that the application sees its
// data and nothing else.
func (w Waiter) removeMarkers(root *os.Root, volumes []string) {
	for _, v := range volumes {
		if err := removeMarker(root, v); err != nil {
			w.printf("Volume %s is restored, but its folder %s cannot be removed: %v; it can be deleted at any time", v, MarkerDir, err)
		}
	}
}

// removeMarker removes the marker directory of a volume and gives the volume's
// folder the time back that it had before. Only its owner and root with FOWNER
// may set times; when that is not allowed the folder looks changed now, which is
// no reason to say anything.
func removeMarker(root *os.Root, volume string) error {
	before, statErr := root.Stat(volume)
	if err := root.RemoveAll(path.Join(volume, MarkerDir)); err != nil {
		return err
	}
	if statErr == nil {
		_ = root.Chtimes(volume, before.ModTime(), before.ModTime())
	}
	return nil
}

func (w Waiter) printMissing(total int, missing []missingVolume) {
	w.printf("Waiting for %d of %d volumes: %s", len(missing), total, describe(missing))
}

func (w Waiter) printSummary(volumes []string) {
	if len(volumes) == 0 {
		w.printf("No volume is mounted below %s: nothing to wait for", w.Root)
		return
	}
	w.printf("All %d volumes are restored: %s", len(volumes), strings.Join(volumes, ", "))
}

// printf prints one line. Output that cannot be written is lost on purpose: it
// must not keep the pod from starting.
func (w Waiter) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(w.Out, format+"\n", args...)
}

// describe lists the missing volumes with their reasons.
func describe(missing []missingVolume) string {
	texts := make([]string, 0, len(missing))
	for _, m := range missing {
		texts = append(texts, fmt.Sprintf("%s (%s)", m.name, m.why))
	}
	return strings.Join(texts, ", ")
}
