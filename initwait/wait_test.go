package initwait

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
)

const uid = "5b1c7f7e-8c2a-4a52-9d0e-0a3f6a4c1d11"

func TestRunReturnsAtOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		volumes map[string]string // volume → marker, "" for none
		files   []string
		want    string
	}{
		"when every volume has its marker": {
			volumes: map[string]string{"data": uid, "logs": uid},
			want:    "All 2 volumes are restored: data, logs\n",
		},
		"when the root has no directories": {
			want: "nothing to wait for\n",
		},
		"when the only other entries are files": {
			volumes: map[string]string{"data": uid},
			files:   []string{"README"},
			want:    "All 1 volumes are restored: data\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := rootWith(t, tc.volumes, tc.files...)
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				out := &bytes.Buffer{}
				began := time.Now()

				err := Waiter{Root: root, UID: uid, Out: out}.Run(t.Context())

				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(time.Since(began)).To(BeZero())
				g.Expect(out.String()).To(HaveSuffix(tc.want))
				g.Expect(filepath.Glob(filepath.Join(root, "*", MarkerDir))).To(BeEmpty(), "markers are removed")
			})
		})
	}
}

func TestRunSeesAMarkerWithin100Milliseconds(t *testing.T) {
	t.Parallel()
	root := rootWith(t, map[string]string{"data": "", "logs": uid})
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		out := &bytes.Buffer{}
		done := start(t.Context(), Waiter{Root: root, UID: uid, Out: out})

		time.Sleep(time.Minute + 7*time.Millisecond)
		mark(t, root, "data", uid)
		marked := time.Now()

		g.Expect(<-done).To(Succeed())
		g.Expect(time.Since(marked)).To(BeNumerically("<=", 100*time.Millisecond))
		g.Expect(out.String()).To(HaveSuffix("All 2 volumes are restored: data, logs\n"))
	})
}

func TestRunPrintsWhatIsMissing(t *testing.T) {
	t.Parallel()
	root := rootWith(t, map[string]string{"data": "", "logs": uid, "old": "another-restore"})
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		ctx, cancel := context.WithCancel(t.Context())
		out := &bytes.Buffer{}
		done := start(ctx, Waiter{Root: root, UID: uid, Out: out})

		time.Sleep(25 * time.Second)
		cancel()
		<-done

		line := "Waiting for 2 of 3 volumes: data (its data is not restored yet), old (its data is not restored yet)\n"
		g.Expect(out.String()).To(Equal(strings.Repeat(line, 3)), "at 0, 10 and 20 seconds")
	})
}

func TestRunNeedsTheMarkerOfThisRestore(t *testing.T) {
	t.Parallel()
	root := rootWith(t, map[string]string{"data": "another-restore"})
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)

		err := Waiter{Root: root, UID: uid, Out: &bytes.Buffer{}, Deadline: time.Minute}.Run(t.Context())

		g.Expect(err).To(MatchError(ErrDeadline))
		g.Expect(filepath.Join(root, "data", MarkerDir, "another-restore")).To(BeAnExistingFile())
	})
}

func TestRunNamesVolumesAndNextStepAtTheDeadline(t *testing.T) {
	t.Parallel()
	root := rootWith(t, map[string]string{"data": "", "logs": uid})
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		began := time.Now()

		err := Waiter{Root: root, UID: uid, Out: &bytes.Buffer{}, Deadline: 2 * time.Minute}.Run(t.Context())

		g.Expect(err).To(MatchError(ErrDeadline))
		g.Expect(err).To(MatchError(And(
			ContainSubstring("after 2m0s, not restored: data (its data is not restored yet)"),
			ContainSubstring("velero.io/restore-uid="+uid),
		)))
		g.Expect(time.Since(began)).To(Equal(2 * time.Minute))
		g.Expect(filepath.Join(root, "logs", MarkerDir, uid)).To(BeAnExistingFile(), "a restart must find it again")
	})
}

func TestRunEndsWithTheCauseOfItsContext(t *testing.T) {
	t.Parallel()
	root := rootWith(t, map[string]string{"data": ""})
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		terminated := errors.New("terminated")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := start(ctx, Waiter{Root: root, UID: uid, Out: &bytes.Buffer{}, Deadline: time.Hour})

		time.Sleep(time.Minute)
		cancel(terminated)
		canceled := time.Now()

		g.Expect(<-done).To(Equal(terminated))
		g.Expect(time.Since(canceled)).To(BeZero())
	})
}

func TestRunRemembersAMarkerThatAnotherPodRemoved(t *testing.T) {
	t.Parallel()
	root := rootWith(t, map[string]string{"shared": uid, "own": ""})
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		done := start(t.Context(), Waiter{Root: root, UID: uid, Out: &bytes.Buffer{}, Deadline: time.Hour})

		time.Sleep(time.Second)
		g.Expect(os.RemoveAll(filepath.Join(root, "shared", MarkerDir))).To(Succeed())
		time.Sleep(time.Second)
		mark(t, root, "own", uid)

		g.Expect(<-done).To(Succeed())
	})
}

func TestRunBelievesTheServer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		restored, failed string
		wantError        string // "": it succeeds
	}{
		"that a volume is restored whose marker is gone":               {restored: "data,other"},
		"that the missing data will never come":                        {failed: "restore again was canceled by ann", wantError: "the pod does not start: restore again was canceled by ann"},
		"that the volume is there rather than that it will never come": {restored: "data", failed: "too late"},
		"but not about the volume of another pod":                      {restored: "dat", failed: "it failed", wantError: "the pod does not start: it failed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, notices := rootWith(t, map[string]string{"data": "", "logs": uid}), t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				done := start(t.Context(), Waiter{Root: root, UID: uid, Notices: notices, Out: &bytes.Buffer{}, Deadline: time.Hour})

				time.Sleep(time.Second)
				g.Expect(os.WriteFile(filepath.Join(notices, RestoredNotice), []byte(tc.restored), 0o600)).To(Succeed())
				g.Expect(os.WriteFile(filepath.Join(notices, FailedNotice), []byte(tc.failed+"\n"), 0o600)).To(Succeed())

				err := <-done
				if tc.wantError == "" {
					g.Expect(err).NotTo(HaveOccurred())
					g.Expect(filepath.Glob(filepath.Join(root, "*", MarkerDir))).To(BeEmpty(), "markers are removed")
					return
				}
				g.Expect(err).To(And(MatchError(ErrNeverOpens), MatchError(tc.wantError)))
				g.Expect(filepath.Join(root, "logs", MarkerDir, uid)).To(BeAnExistingFile(), "a restart finds the same")
			})
		})
	}
}

func TestRunSaysWhyAVolumeCannotBeRead(t *testing.T) {
	t.Parallel()
	root := rootWith(t, map[string]string{"data": ""})
	// A file in the place of the folder fails the same way for every user; root
	// ignores permissions, so they cannot be used here.
	NewWithT(t).Expect(os.WriteFile(filepath.Join(root, "data", MarkerDir), nil, 0o600)).To(Succeed())
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)

		err := Waiter{Root: root, UID: uid, Out: &bytes.Buffer{}, Deadline: time.Minute}.Run(t.Context())

		g.Expect(err).To(MatchError(ContainSubstring("data (it cannot be read: not a directory)")))
	})
}

func TestUnreadableNamesModeAndUserWhenPermissionIsDenied(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := rootWith(t, map[string]string{"data": ""})
	g.Expect(os.Chmod(filepath.Join(dir, "data"), 0o700)).To(Succeed())
	root, err := os.OpenRoot(dir)
	g.Expect(err).NotTo(HaveOccurred())
	defer root.Close()

	why := unreadable(root, "data", &os.PathError{Op: "lstat", Path: "data/.velero", Err: os.ErrPermission})

	g.Expect(why).To(HavePrefix("it cannot be read: permission denied: its mode is drwx------ and restore-wait runs as user "))
	g.Expect(why).To(ContainSubstring("secCtxRunAsUser"))
}

func TestRunSucceedsAlthoughAMarkerCannotBeRemoved(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := rootWith(t, map[string]string{"data": uid})
	root, err := os.OpenRoot(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(root.Close()).To(Succeed())
	out := &bytes.Buffer{}

	// Removing below a closed root fails for every user.
	Waiter{Root: dir, UID: uid, Out: out}.removeMarkers(root, []string{"data"})

	g.Expect(out.String()).To(HavePrefix("Volume data is restored, but its folder .velero cannot be removed: "))
}

func TestRunKeepsTheTimeOfTheVolume(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	root := rootWith(t, map[string]string{"data": uid})
	restored := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
	g.Expect(os.Chtimes(filepath.Join(root, "data"), restored, restored)).To(Succeed())

	g.Expect(Waiter{Root: root, UID: uid, Out: &bytes.Buffer{}}.Run(t.Context())).To(Succeed())

	info, err := os.Stat(filepath.Join(root, "data"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.ModTime()).To(BeTemporally("==", restored))
}

func TestRunFailsWithoutARoot(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	err := Waiter{Root: filepath.Join(t.TempDir(), "restores"), UID: uid, Out: &bytes.Buffer{}}.Run(t.Context())

	g.Expect(err).To(MatchError(os.ErrNotExist))
}

// start runs w in the background of a synctest bubble.
func start(ctx context.Context, w Waiter) <-chan error {
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	synctest.Wait()
	return done
}

// rootWith makes a folder with volumes, their markers, and files.
func rootWith(t *testing.T, volumes map[string]string, files ...string) string {
	t.Helper()
	g := NewWithT(t)
	root := t.TempDir()
	for volume, marker := range volumes {
		g.Expect(os.Mkdir(filepath.Join(root, volume), 0o755)).To(Succeed())
		if marker != "" {
			mark(t, root, volume, marker)
		}
	}
	for _, f := range files {
		g.Expect(os.WriteFile(filepath.Join(root, f), nil, 0o600)).To(Succeed())
	}
	return root
}

// mark does what the mover does last.
func mark(t *testing.T, root, volume, marker string) {
	t.Helper()
	g := NewWithT(t)
	dir := filepath.Join(root, volume, MarkerDir)
	g.Expect(os.Mkdir(dir, 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, marker), nil, 0o644)).To(Succeed())
}
