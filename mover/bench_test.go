package mover_test

import (
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob/filesystem"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

// Benchmarks compare a mover with plain kopia on the same data and storage:
//
//	go test -run '^$' -bench . -benchtime 1x ./mover
//
// Each reports the first backup, an unchanged one and a restore.
const (
	largeFileBytes = 2 << 30
	smallFiles     = 100_000
)

func BenchmarkLargeFile(b *testing.B) {
	benchmarkBoth(b, func(dir string) { movertest.WriteLargeFile(b, dir, "large", largeFileBytes) })
}

func BenchmarkSmallFiles(b *testing.B) {
	benchmarkBoth(b, func(dir string) { movertest.WriteSmallFiles(b, dir, smallFiles, 1024) })
}

func BenchmarkSmallVolume(b *testing.B) {
	benchmarkBoth(b, func(dir string) { movertest.WriteLargeFile(b, dir, "small", 1<<20) })
}

func benchmarkBoth(b *testing.B, fill func(dir string)) {
	b.Helper()
	source := b.TempDir()
	fill(source)
	b.Run("mover", func(b *testing.B) { benchmarkMover(b, source) })
	b.Run("plain", func(b *testing.B) { benchmarkPlain(b, source) })
}

// laps measures what one thing after the other takes. On a busy machine the CPU
// time tells more than the time that passed.
type laps struct{ elapsed, cpu float64 }

func newLaps(b *testing.B) *laps {
	b.Helper()
	return &laps{elapsed: b.Elapsed().Seconds(), cpu: cpuSeconds(b)}
}

func (l *laps) report(b *testing.B, name string) {
	b.Helper()
	elapsed, cpu := b.Elapsed().Seconds(), cpuSeconds(b)
	b.ReportMetric(elapsed-l.elapsed, name+"-s")
	b.ReportMetric(cpu-l.cpu, name+"-cpu-s")
	l.elapsed, l.cpu = elapsed, cpu
}

func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var usage unix.Rusage
	NewWithT(b).Expect(unix.Getrusage(unix.RUSAGE_SELF, &usage)).To(Succeed())
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func benchmarkMover(b *testing.B, source string) {
	b.Helper()
	g := NewWithT(b)
	r := movertest.NewRepository(b)
	g.Expect(repository.Ensure(b.Context(), r)).To(Succeed())
	target := b.TempDir()
	for b.Loop() {
		l := newLaps(b)
		first := movertest.Run(b, movertest.BackupTask(r, source))
		l.report(b, "first")
		again := movertest.Run(b, movertest.BackupTask(r, source))
		l.report(b, "again")
		restored := movertest.Run(b, movertest.RestoreTask(r, first.Result.SnapshotID, target))
		l.report(b, "restore")
		opened, err := repository.Open(b.Context(), r, repository.ForReading)
		g.Expect(err).NotTo(HaveOccurred())
		l.report(b, "open")
		g.Expect(opened.Close(b.Context())).To(Succeed())

		for _, report := range []movertest.Report{first, again, restored} {
			g.Expect(report.ExitCode).To(Equal(wire.ExitOK), report.Result.Error)
		}
	}
}

func benchmarkPlain(b *testing.B, source string) {
	b.Helper()
	g := NewWithT(b)
	storage, err := filesystem.New(b.Context(), &filesystem.Options{Path: b.TempDir()}, true)
	g.Expect(err).NotTo(HaveOccurred())
	plain := movertest.PlainKopia{Storage: storage, Directory: b.TempDir(), Password: movertest.Password}
	g.Expect(plain.Create(b.Context())).To(Succeed())
	g.Expect(plain.Connect(b.Context())).To(Succeed())
	target := b.TempDir()
	for b.Loop() {
		l := newLaps(b)
		first, err := plain.Backup(b.Context(), source)
		g.Expect(err).NotTo(HaveOccurred())
		l.report(b, "first")
		_, err = plain.Backup(b.Context(), source)
		g.Expect(err).NotTo(HaveOccurred())
		l.report(b, "again")
		g.Expect(plain.Restore(b.Context(), string(first.ID), target)).To(Succeed())
		l.report(b, "restore")
	}
}
