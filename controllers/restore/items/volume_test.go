package items

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ours is the claim of every volume of these tests.
var ours = types.NamespacedName{Namespace: "shop", Name: "data-db-0"}

func TestDecideVolume(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		facts       VolumeFacts
		want        VolumeAction
		wantWarning string // part of it; "" means none
		wantLoss    string
	}{
		"a provisioned volume is provisioned anew": {
			facts: VolumeFacts{Archived: volume(dynamic), Data: DataFileSystem, Provisioner: "csi.example.com"},
			want:  VolumeProvision,
		},
		"a provisioned volume is provisioned anew also when it was to be retained": {
			facts: VolumeFacts{Archived: volume(dynamic, retain), Data: DataFileSystem, Provisioner: "csi.example.com", Existing: volume(dynamic, claimedBy("shop", "data-db-0", "old"))},
			want:  VolumeProvision,
		},
		"a class that is missing is said": {
			facts: VolumeFacts{Archived: volume(dynamic), Data: DataFileSystem},
			want:  VolumeProvision, wantWarning: `storage class "local" is not in this cluster`,
		},
		"a snapshot cannot be restored": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataSnapshot, Provisioner: "csi.example.com"},
			want:  VolumeProvision, wantLoss: "its data is in a volume snapshot",
		},
		"without data a volume that was to be deleted becomes an empty one": {
			facts: VolumeFacts{Archived: volume(dynamic), Provisioner: "csi.example.com"},
			want:  VolumeProvision, wantWarning: "the backup has no data of it; claim shop/data-db-0 gets an empty volume",
		},
		"without data a retained volume is the only place of its data": {
			facts: VolumeFacts{Archived: volume(dynamic, retain), Provisioner: "csi.example.com"},
			want:  VolumeRestore,
		},
		"a volume made by hand is restored": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Provisioner: NoProvisioner},
			want:  VolumeRestore,
		},
		"a volume of a class without provisioner is restored whatever its policy": {
			facts: VolumeFacts{Archived: volume(), Data: DataFileSystem, Provisioner: NoProvisioner},
			want:  VolumeRestore,
		},
		"a volume made by hand that was to be deleted is provisioned where that is possible": {
			facts: VolumeFacts{Archived: volume(), Data: DataFileSystem, Provisioner: "csi.example.com"},
			want:  VolumeProvision,
		},
		"a volume that nobody uses is used": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Existing: volume(retain)},
			want:  VolumeReuse, wantWarning: "it is in the cluster and unused",
		},
		"a volume that is reserved for our claim is used": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Existing: volume(retain, claimedBy("shop", "data-db-0", ""))},
			want:  VolumeReuse,
		},
		"a volume that is bound to our claim is used": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Existing: volume(retain, claimedBy("shop", "data-db-0", "u1")), ClaimUID: "u1"},
			want:  VolumeReuse,
		},
		"a volume of our deleted claim is released": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Existing: volume(retain, claimedBy("shop", "data-db-0", "u1"))},
			want:  VolumeRelease, wantWarning: "it was released by the deleted claim shop/data-db-0",
		},
		"a volume of another claim is left alone": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Provisioner: "csi.example.com", Existing: volume(retain, claimedBy("prod", "data-db-0", "u1"))},
			want:  VolumeProvision, wantWarning: "belongs to claim prod/data-db-0; claim shop/data-db-0 gets another one",
		},
		"a volume of another claim, and nobody provisions": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Provisioner: NoProvisioner, Existing: volume(retain, claimedBy("prod", "data-db-0", "u1"))},
			want:  VolumeProvision, wantWarning: `gets another one; nothing provisions volumes of storage class "local": create one for the claim`,
		},
		"who changes the class wants another volume": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Provisioner: "csi.example.com", ClassChanged: true},
			want:  VolumeProvision,
		},
		"a class that nobody provisions changes nothing": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Provisioner: NoProvisioner, ClassChanged: true},
			want:  VolumeRestore,
		},
		"a snapshot that is not wanted is no loss": {
			facts: VolumeFacts{Archived: volume(dynamic), Data: DataLeftOut, Provisioner: "csi.example.com"},
			want:  VolumeProvision, wantWarning: "which spec.restorePVs leaves out; claim shop/data-db-0 gets an empty volume",
		},
		"a retained volume whose snapshot is not wanted has its data itself": {
			facts: VolumeFacts{Archived: volume(dynamic, retain), Data: DataLeftOut, Provisioner: "csi.example.com"},
			want:  VolumeRestore,
		},
		"a volume that must not be created": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Provisioner: "csi.example.com", Untouchable: true},
			want:  VolumeProvision, wantWarning: "the restore leaves persistent volumes out",
		},
		"a volume that is free is used without being touched": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Existing: volume(retain, claimedBy("shop", "data-db-0", "")), Untouchable: true},
			want:  VolumeReuse,
		},
		"a volume that must not be released": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Existing: volume(retain, claimedBy("shop", "data-db-0", "u1")), Untouchable: true},
			want:  VolumeProvision, wantWarning: "is still reserved for the deleted claim",
		},
		"a volume that is being deleted is not waited for": {
			facts: VolumeFacts{Archived: volume(retain), Data: DataFileSystem, Provisioner: "csi.example.com", Existing: volume(retain, deleted)},
			want:  VolumeProvision, wantWarning: "is being deleted",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.facts.Claim, tc.facts.Class = ours, "local"

			got := DecideVolume(tc.facts)

			g.Expect(got.Action).To(Equal(tc.want))
			g.Expect(got.Warning).To(matchPart(tc.wantWarning))
			g.Expect(got.Loss).To(matchPart(tc.wantLoss))
			g.Expect(got.KeepsVolume()).To(Equal(tc.want != VolumeProvision))
		})
	}
}

func matchPart(part string) OmegaMatcher {
	if part == "" {
		return BeEmpty()
	}
	return ContainSubstring(part)
}

func volume(mods ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-data"},
		Spec:       corev1.PersistentVolumeSpec{StorageClassName: "local", PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete},
	}
	for _, mod := range mods {
		mod(pv)
	}
	return pv
}

func dynamic(pv *corev1.PersistentVolume) {
	pv.Annotations = map[string]string{provisionedByAnnotation: "csi.example.com"}
}

func retain(pv *corev1.PersistentVolume) {
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
}

func deleted(pv *corev1.PersistentVolume) { pv.DeletionTimestamp = &metav1.Time{} }

func claimedBy(namespace, name string, uid types.UID) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) {
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: namespace, Name: name, UID: uid}
	}
}
