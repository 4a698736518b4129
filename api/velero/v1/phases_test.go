package v1_test

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// TestIsFinished asks about every phase that the CRDs allow, so that a phase
// added later has to be placed here.
func TestIsFinished(t *testing.T) {
	t.Parallel()
	type phases []string
	cases := map[string]struct {
		isFinished func(phase string) bool
		finished   phases
		unfinished phases
	}{
		"Backup": {
			isFinished: func(phase string) bool {
				return (&velerov1.Backup{Status: velerov1.BackupStatus{Phase: velerov1.BackupPhase(phase)}}).IsFinished()
			},
			finished: phases{"FailedValidation", "Completed", "PartiallyFailed", "Failed"},
			unfinished: phases{"", "New", "Queued", "ReadyToStart", "InProgress", "WaitingForPluginOperations",
				"WaitingForPluginOperationsPartiallyFailed", "Finalizing", "FinalizingPartiallyFailed", "Deleting"},
		},
		"Restore": {
			isFinished: func(phase string) bool {
				return (&velerov1.Restore{Status: velerov1.RestoreStatus{Phase: velerov1.RestorePhase(phase)}}).IsFinished()
			},
			finished: phases{"FailedValidation", "Completed", "PartiallyFailed", "Failed"},
			unfinished: phases{"", "New", "InProgress", "WaitingForPluginOperations",
				"WaitingForPluginOperationsPartiallyFailed", "Finalizing", "FinalizingPartiallyFailed"},
		},
		"PodVolumeBackup": {
			isFinished: func(phase string) bool {
				status := velerov1.PodVolumeBackupStatus{Phase: velerov1.PodVolumeBackupPhase(phase)}
				return (&velerov1.PodVolumeBackup{Status: status}).IsFinished()
			},
			finished:   phases{"Completed", "Failed", "Canceled"},
			unfinished: phases{"", "New", "Accepted", "Prepared", "InProgress", "Canceling"},
		},
		"PodVolumeRestore": {
			isFinished: func(phase string) bool {
				status := velerov1.PodVolumeRestoreStatus{Phase: velerov1.PodVolumeRestorePhase(phase)}
				return (&velerov1.PodVolumeRestore{Status: status}).IsFinished()
			},
			finished:   phases{"Completed", "Failed", "Canceled"},
			unfinished: phases{"", "New", "Accepted", "Prepared", "InProgress", "Canceling"},
		},
	}
	kinds := generatedKinds(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			for _, phase := range tc.finished {
				g.Expect(tc.isFinished(phase)).To(BeTrue(), phase)
			}
			for _, phase := range tc.unfinished {
				g.Expect(tc.isFinished(phase)).To(BeFalse(), phase)
			}

			all := append(slices.Clone(tc.finished), tc.unfinished...)
			g.Expect(all).To(ConsistOf(append([]string{""}, kinds[name].Fields["status.phase"].Enum...)))
		})
	}
}

// TestIsRunning asks about every phase, too.
func TestIsRunning(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	running := []string{"", "New", "Queued", "ReadyToStart", "InProgress"}
	for _, phase := range append([]string{""}, generatedKinds(t)["Backup"].Fields["status.phase"].Enum...) {
		b := &velerov1.Backup{Status: velerov1.BackupStatus{Phase: velerov1.BackupPhase(phase)}}
		g.Expect(b.IsRunning()).To(Equal(slices.Contains(running, phase)), phase)
	}
}
