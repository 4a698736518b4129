package webhook

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestCachedObjectsKeepWhatDecisionsNeed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	mode := corev1.PersistentVolumeBlock
	claim := claimOf("shop", "data", "uid")
	claim.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	claim.Labels = map[string]string{"a": "b"}
	claim.Annotations = map[string]string{"a": "b", velerov1.ClaimFSBackupAnnotation: velerov1.ClaimInclude}
	claim.Spec = corev1.PersistentVolumeClaimSpec{VolumeName: "pv", VolumeMode: &mode, AccessModes: []corev1.PersistentVolumeAccessMode{"x"}}
	wantClaim := claimOf("shop", "data", "uid")
	wantClaim.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimInclude}
	wantClaim.Spec = corev1.PersistentVolumeClaimSpec{VolumeName: "pv", VolumeMode: &mode}

	volume := &corev1.PersistentVolume{}
	volume.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/x"}
	wantVolume := volume.DeepCopy()
	volume.Spec.StorageClassName = "fast"

	r := restore("shop-1", velerov1.RestorePhaseInProgress)
	r.Spec.BackupName = "b"
	pvr := volumeRestore("uid", velerov1.PodVolumeRestorePhaseInProgress)
	pvr.Spec.SnapshotID = "s"

	g.Expect(slimClaim(claim)).To(Equal(wantClaim))
	g.Expect(slimVolume(volume)).To(Equal(wantVolume))
	g.Expect(slimRestore(r)).To(Equal(restore("shop-1", velerov1.RestorePhaseInProgress)))
	g.Expect(slimPodVolumeRestore(pvr)).To(Equal(volumeRestore("uid", velerov1.PodVolumeRestorePhaseInProgress)))
}

func TestCacheHasNoPods(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	for object := range CacheOptions(installNamespace).ByObject {
		g.Expect(object).NotTo(BeAssignableToTypeOf(&corev1.Pod{}))
	}
	for _, object := range cached() {
		g.Expect(object).NotTo(BeAssignableToTypeOf(&corev1.Pod{}))
	}
}
