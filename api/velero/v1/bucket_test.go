package v1_test

import (
	"bytes"
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// TestObjectsOfVeleroKeepTheirBytes reads what Velero wrote to a bucket and
// writes it again: no field may be lost, renamed or moved.
func TestObjectsOfVeleroKeepTheirBytes(t *testing.T) {
	t.Parallel()
	bucket := untar(t, fixture(t, "bucket.tar.gz"))

	for _, name := range []string{"shop-1", "shop-2"} {
		t.Run("backup "+name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := bucket["backups/"+name+"/velero-backup.json"]

			backup := &velerov1.Backup{}
			g.Expect(json.Unmarshal(want, backup)).To(Succeed())
			got, err := json.MarshalIndent(backup, "", "  ")

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(string(bytes.TrimSpace(want))))
			g.Expect(backup.IsFinished()).To(BeTrue())
		})
		t.Run("pod volume backups of "+name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := gunzip(t, bucket["backups/"+name+"/"+name+"-podvolumebackups.json.gz"])

			var backups []velerov1.PodVolumeBackup
			g.Expect(json.Unmarshal(want, &backups)).To(Succeed())
			got, err := json.Marshal(backups)

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(string(bytes.TrimSpace(want))))
			g.Expect(backups).NotTo(BeEmpty())
		})
	}
}
