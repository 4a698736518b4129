package main

import (
	"os"
	"os/exec"
	"testing"

	. "github.com/onsi/gomega"
)

func TestMeasureProcess(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	_, err := measureProcess(exec.Command("sh", "-c", "echo what went wrong >&2; exit 3"))

	g.Expect(err).To(MatchError(ContainSubstring("what went wrong")))
}

func TestReadMemory(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	m, err := readMemory(os.Getpid())

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.resident).To(BeNumerically(">", 1<<20))
	g.Expect(m.peak).To(BeNumerically(">=", m.anonymous+m.files))
}

func TestProcessorsAreBusyOrIdle(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	now, err := readProcessors()

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(now.all).To(BeNumerically(">", now.idle))
	g.Expect(processors{idle: 30, all: 200}.busySince(processors{idle: 10, all: 100})).To(BeNumerically("~", 0.8))
}
