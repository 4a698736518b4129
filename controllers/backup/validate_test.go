package backup

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// veleroCLISpec is what "velero backup create x --parallel-files-upload 4" sends.
const veleroCLISpec = `{
	"metadata": {}, "includedNamespaces": ["*"], "snapshotVolumes": null, "ttl": "0s", "includeClusterResources": null, "hooks": {},
	"labelSelector": null, "orLabelSelectors": null, "orderedResources": null, "csiSnapshotTimeout": "10m0s",
	"itemOperationTimeout": "4h0m0s", "uploaderConfig": {"parallelFilesUpload": 4}
}`

func TestValidateAcceptsWhatTheVeleroCLISends(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	b := newBackup()
	g.Expect(json.Unmarshal([]byte(veleroCLISpec), &b.Spec)).To(Succeed())

	g.Expect(validate(b, nil)).To(BeEmpty())
}

func TestValidateLocation(t *testing.T) {
	t.Parallel()

	location := func(mod func(*velerov1.BackupStorageLocation)) *velerov1.BackupStorageLocation {
		l := &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Name: "minio"}}
		mod(l)
		return l
	}
	tests := map[string]struct {
		location *velerov1.BackupStorageLocation
		want     string
	}{
		"one that does not exist": {want: `spec.storageLocation: Not found: "minio"`},
		"one that is read-only": {
			location: location(func(l *velerov1.BackupStorageLocation) {
				l.Spec.AccessMode = velerov1.BackupStorageLocationAccessModeReadOnly
			}),
			want: "the location is read-only",
		},
		"one that is unavailable, with its message": {
			location: location(func(l *velerov1.BackupStorageLocation) {
				l.Status.Phase, l.Status.Message = velerov1.BackupStorageLocationPhaseUnavailable, "bucket gone"
			}),
			want: "the location is unavailable: bucket gone",
		},
		"one that nobody has checked yet": {location: location(func(*velerov1.BackupStorageLocation) {})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := append(validateLocation("minio", tc.location), validateAvailable(tc.location)...)

			if tc.want == "" {
				g.Expect(got).To(BeEmpty())
				return
			}
			g.Expect(got).To(ConsistOf(ContainSubstring(tc.want)))
		})
	}
}

func TestChooseLocation(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	locations := []velerov1.BackupStorageLocation{
		{ObjectMeta: metav1.ObjectMeta{Name: "z"}, Spec: velerov1.BackupStorageLocationSpec{Default: true}},
		{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: velerov1.BackupStorageLocationSpec{Default: true}},
		{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
	}
	named := newBackup(func(b *velerov1.Backup) { b.Spec.StorageLocation = "a" })

	g.Expect(chooseLocation(named, locations, "default")).To(Equal("a"), "the backup's own wins")
	g.Expect(chooseLocation(newBackup(), locations, "default")).To(Equal("b"), "the first that is marked")
	g.Expect(chooseLocation(newBackup(), locations[2:], "default")).To(Equal("default"), "the server's when none is marked")
}

func TestVolumeTimeout(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	b := newBackup()
	g.Expect(volumeTimeoutOf(b, time.Hour)).To(Equal(time.Hour))

	b.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: "90s"}
	g.Expect(volumeTimeoutOf(b, time.Hour)).To(Equal(90 * time.Second))
}
