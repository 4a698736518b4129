package backup

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestStoredVolumesCanBeSynced(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	volume := func(name string, phase velerov1.PodVolumeBackupPhase) velerov1.PodVolumeBackup {
		return velerov1.PodVolumeBackup{
			ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"velero.io/pod-volume-finalizer"}, ManagedFields: []metav1.ManagedFieldsEntry{{}}},
			Status:     velerov1.PodVolumeBackupStatus{Phase: phase, Message: "asked to"},
		}
	}
	canceled := volume("canceled", velerov1.PodVolumeBackupPhaseCanceled)
	canceled.Spec.Cancel = true

	stored := storedVolumes([]velerov1.PodVolumeBackup{
		volume("done", velerov1.PodVolumeBackupPhaseCompleted),
		volume("", velerov1.PodVolumeBackupPhaseFailed),
		volume("moving", velerov1.PodVolumeBackupPhaseInProgress),
		canceled,
	})

	g.Expect(stored).To(HaveLen(2), "without the nameless and the unfinished one")
	g.Expect(stored).To(HaveEach(And(HaveField("Finalizers", BeEmpty()), HaveField("ManagedFields", BeEmpty()), HaveField("Kind", "PodVolumeBackup"))))
	g.Expect(stored[0].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCompleted))
	g.Expect(stored[1].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseFailed), "the CRD of Velero 1.16 has no Canceled")
	g.Expect(stored[1].Status.Message).To(Equal("canceled: asked to"))
	g.Expect(stored[1].Spec.Cancel).To(BeFalse())
	g.Expect(canceled.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCanceled), "the argument is not changed")
}
