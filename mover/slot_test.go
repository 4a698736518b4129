package mover_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover"
	"github.com/podkeep/podkeep/mover/movertest"
)

// said passes on what a mover says, while it says it.
type said struct {
	t        *testing.T
	messages chan wire.MessageType
}

func (s said) Write(line []byte) (int, error) {
	for _, m := range movertest.ParseMessages(s.t, bytes.Clone(line)) {
		s.messages <- m.Type
	}
	return len(line), nil
}

func TestMoverMovesNothingBeforeItHasASlot(t *testing.T) {
	t.Parallel()
	for name, taskOf := range map[string]func(t *testing.T, target string) wire.Task{
		"backup": func(t *testing.T, _ string) wire.Task {
			t.Helper()
			return movertest.BackupTask(newRepository(t), t.TempDir())
		},
		"restore": func(t *testing.T, target string) wire.Task {
			t.Helper()
			r, source := newRepository(t), t.TempDir()
			movertest.WriteFile(t, source, "file", "content")
			return movertest.RestoreTask(r, snapshotOf(t, r, source), target)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			target := t.TempDir()
			task := taskOf(t, target)
			task.SlotFile = filepath.Join(t.TempDir(), "slot")
			out := said{t: t, messages: make(chan wire.MessageType, 100)} // more than it can say
			ended := make(chan int, 1)

			go func() {
				_, code := mover.Run(t.Context(), task, mover.Output{Messages: out, Clock: clock.RealClock{}})
				ended <- code
			}()

			g.Eventually(out.messages, "30s").Should(Receive(Equal(wire.MessagePrepared)))
			g.Consistently(out.messages, "200ms").ShouldNot(Receive(), "the file is not there")
			g.Expect(os.WriteFile(task.SlotFile, []byte("not yet"), 0o600)).To(Succeed())
			g.Consistently(out.messages, "200ms").ShouldNot(Receive(), "the file says something else")
			g.Expect(os.ReadDir(target)).To(BeEmpty())
			g.Expect(os.WriteFile(task.SlotFile, []byte(wire.SlotGranted+"\n"), 0o600)).To(Succeed())
			g.Eventually(out.messages, "30s").Should(Receive(Equal(wire.MessageStarted)))
			g.Eventually(ended, "30s").Should(Receive(Equal(wire.ExitOK)))
		})
	}
}
