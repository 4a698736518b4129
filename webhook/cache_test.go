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
	claim.Labels = map[string]string{"a": "b", velerov1.RestoreNameLabel: "shop-1", velerov1.RestoreIncompleteLabel: "shop-0"}
	claim.Annotations = map[string]string{"a": "b", velerov1.ClaimFSBackupAnnotation: velerov1.ClaimInclude, velerov1.FilledByAnnotation: "r"}
	claim.Spec = corev1.PersistentVolumeClaimSpec{VolumeName: "pv", VolumeMode: &mode, AccessModes: []corev1.PersistentVolumeAccessMode{"x"}}
	wantClaim := claimOf("shop", "data", "uid")
	wantClaim.Labels = map[string]string{velerov1.RestoreNameLabel: "shop-1", velerov1.RestoreIncompleteLabel: "shop-0"}
	wantClaim.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimInclude, velerov1.FilledByAnnotation: "r"}
	wantClaim.Spec = corev1.PersistentVolumeClaimSpec{VolumeName: "pv", VolumeMode: &mode}

	volume := &corev1.PersistentVolume{}
	volume.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/x"}
	wantVolume := volume.DeepCopy()
	volume.Spec.StorageClassName = "fast"

	r := restore("shop-1", velerov1.RestorePhaseInProgress)
	r.Spec.BackupName = "b"
	pvr := volumeRestore("uid", velerov1.PodVolumeRestorePhaseInProgress)
	pvr.Spec.SnapshotID, pvr.Spec.Volume = "s", "data"
	pvr.Annotations = map[string]string{"a": "b", velerov1.PodOwnerAnnotation: "ReplicaSet/web"}
	wantPVR := ofOwner(volumeRestore("uid", velerov1.PodVolumeRestorePhaseInProgress), "ReplicaSet/web", "data")

	g.Expect(slimClaim(claim)).To(Equal(wantClaim))
	g.Expect(slimVolume(volume)).To(Equal(wantVolume))
	g.Expect(slimRestore(r)).To(Equal(restore("shop-1", velerov1.RestorePhaseInProgress)))
	g.Expect(slimPodVolumeRestore(pvr)).To(Equal(wantPVR))
}

func TestCachedNamespacesKeepPodkeepsLabels(t *testing.T) {
	t.Parallel()
	slimNamespace := newNamespaceSlimmer()
	tests := map[string]struct{ labels, want map[string]string }{
		"no labels": {want: map[string]string{}},
		"a policy": {
			labels: map[string]string{velerov1.FSBackupLabel: velerov1.FSBackupOptOut, "team": "a"},
			want:   map[string]string{velerov1.FSBackupLabel: velerov1.FSBackupOptOut},
		},
		"a policy that does not exist": {
			labels: map[string]string{velerov1.FSBackupLabel: "always"},
			want:   map[string]string{velerov1.FSBackupLabel: "always"},
		},
		"a policy while a restore runs": {
			labels: map[string]string{velerov1.FSBackupLabel: velerov1.FSBackupOff, velerov1.RestoringLabel: "r"},
			want:   map[string]string{velerov1.FSBackupLabel: velerov1.FSBackupOff, velerov1.RestoringLabel: "r"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			n := namespaceMetadata()
			n.Name, n.UID, n.ResourceVersion, n.Labels = "shop", "uid", "7", tc.labels
			n.ManagedFields = []metav1.ManagedFieldsEntry{{}}
			n.Annotations = map[string]string{"a": "b"}
			want := namespaceMetadata()
			want.Name, want.ResourceVersion, want.Labels = "shop", "7", tc.want

			got, err := slimNamespace(n)

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(want))
		})
	}
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
