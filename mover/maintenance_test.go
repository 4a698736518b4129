package mover_test

import (
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

func maintenanceTask(r wire.Repository) wire.Task {
	return wire.Task{Kind: wire.KindMaintenance, Name: "shop-default-kopia", Repository: r}
}

func TestMaintenance(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	gone, kept := t.TempDir(), t.TempDir()
	movertest.WriteLargeFile(t, gone, "large", 4<<20)
	movertest.BuildTree(t, kept)
	goneID, keptID := snapshotOf(t, r, gone), snapshotOf(t, r, kept)
	NewWithT(t).Expect(repository.DeleteSnapshots(t.Context(), r, []string{goneID})).To(Succeed())

	t.Run("the first is full, the next is not due", func(t *testing.T) {
		g := NewWithT(t)
		report := movertest.Run(t, maintenanceTask(r))
		g.Expect(report.Result.Error).To(BeEmpty())
		g.Expect(report.Result.Cycle).To(Equal(wire.CycleFull))
		g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
		report = movertest.Run(t, maintenanceTask(r))
		g.Expect(report.Result.Cycle).To(Equal(wire.CycleNone))
	})
	t.Run("what is kept can be restored", func(t *testing.T) {
		g := NewWithT(t)
		target := t.TempDir()
		g.Expect(movertest.Run(t, movertest.RestoreTask(r, keptID, target)).Result.Error).To(BeEmpty())
		withoutMarker(t, target)
		g.Expect(movertest.ReadTree(t, target)).To(Equal(movertest.ReadTree(t, kept)))
	})
	t.Run("a wrong password is told", func(t *testing.T) {
		g := NewWithT(t)
		wrong := r
		wrong.PasswordFile = movertest.WritePassword(t, "wrong")
		report := movertest.Run(t, maintenanceTask(wrong))
		g.Expect(report.ExitCode).To(Equal(wire.ExitTerminal))
		g.Expect(report.Result.Reason).To(Equal(velerov1.ReasonRepositoryPasswordWrong))
	})
}
