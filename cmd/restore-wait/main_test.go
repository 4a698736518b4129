package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const (
	uid = "5b1c7f7e-8c2a-4a52-9d0e-0a3f6a4c1d11"

	// asCommand makes the test binary behave as restore-wait, with the root that
	// is its value.
	asCommand = "RESTORE_WAIT_TEST_ROOT"

	// noticesVariable names the folder of its notices.
	noticesVariable = "RESTORE_WAIT_TEST_NOTICES"
)

func TestMain(m *testing.M) {
	if root, ok := os.LookupEnv(asCommand); ok {
		os.Exit(run(os.Args[1:], os.Getenv(deadlineVariable), folders{root: root, notices: os.Getenv(noticesVariable)}))
	}
	os.Exit(m.Run())
}

func TestNewWaiter(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args     []string
		deadline string

		wantDeadline time.Duration
		wantError    string
	}{
		"one argument is the UID":          {args: []string{uid}},
		"the deadline is a Go duration":    {args: []string{uid}, deadline: "1h30m", wantDeadline: 90 * time.Minute},
		"no argument is bad use":           {wantError: "got 0"},
		"two arguments are bad use":        {args: []string{uid, "x"}, wantError: "got 2"},
		"an empty UID is bad use":          {args: []string{""}, wantError: `Invalid value: ""`},
		"a UID is no path":                 {args: []string{"a/b"}, wantError: `Invalid value: "a/b"`},
		"a UID is not the folder itself":   {args: []string{"."}, wantError: `Invalid value: "."`},
		"a UID does not lead out":          {args: []string{".."}, wantError: `Invalid value: ".."`},
		"a deadline needs a unit":          {args: []string{uid}, deadline: "30", wantError: `RESTORE_WAIT_DEADLINE: Invalid value: "30"`},
		"a deadline cannot be in the past": {args: []string{uid}, deadline: "-1m", wantError: "must be a positive Go duration"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			w, err := newWaiter(tc.args, tc.deadline)

			if tc.wantError != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tc.wantError)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(w.UID).To(Equal(uid))
			g.Expect(w.Deadline).To(Equal(tc.wantDeadline))
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args     []string
		deadline string
		marked   bool
		signal   syscall.Signal
		failed   string // the notice

		wantCode   int
		wantStderr string
	}{
		"0 when all volumes are restored": {args: []string{uid}, marked: true},
		"1 and the usage on bad use":      {wantCode: 1, wantStderr: "usage: restore-wait"},
		"1 at the deadline":               {args: []string{uid}, deadline: "10ms", wantCode: 1, wantStderr: "restore-wait: deadline passed: after 10ms, not restored: data"},
		"1 when the restore has failed":   {args: []string{uid}, failed: "restore again failed", wantCode: 1, wantStderr: "restore-wait: the pod does not start: restore again failed\n"},
		"143 on SIGTERM":                  {args: []string{uid}, signal: syscall.SIGTERM, wantCode: 143, wantStderr: "ended by terminated"},
		"130 on SIGINT":                   {args: []string{uid}, signal: syscall.SIGINT, wantCode: 130, wantStderr: "ended by interrupt"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			root := t.TempDir()
			g.Expect(os.MkdirAll(filepath.Join(root, "data", ".velero"), 0o755)).To(Succeed())
			if tc.marked {
				g.Expect(os.WriteFile(filepath.Join(root, "data", ".velero", uid), nil, 0o600)).To(Succeed())
			}
			notices := t.TempDir()
			g.Expect(os.WriteFile(filepath.Join(notices, "failed"), []byte(tc.failed), 0o600)).To(Succeed())
			stderr := &bytes.Buffer{}
			cmd := exec.CommandContext(t.Context(), os.Args[0], tc.args...)
			cmd.Env = append(os.Environ(), asCommand+"="+root, deadlineVariable+"="+tc.deadline, noticesVariable+"="+notices)
			cmd.Stderr = stderr
			stdout, err := cmd.StdoutPipe()
			g.Expect(err).NotTo(HaveOccurred())

			g.Expect(cmd.Start()).To(Succeed())
			if tc.signal != 0 {
				// The first line is printed after the handlers are in place.
				_, err := stdout.Read(make([]byte, 1))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(cmd.Process.Signal(tc.signal)).To(Succeed())
			}
			err = cmd.Wait()

			g.Expect(code(err)).To(Equal(tc.wantCode))
			g.Expect(stderr.String()).To(ContainSubstring(tc.wantStderr))
		})
	}
}

func code(err error) int {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return exitOK
}
