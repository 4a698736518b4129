package restore

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/layout"
)

// fixture is a bucket that real Velero 1.18 wrote; it lies beside the repository.
const fixture = "../../../shared/fixtures/velero-1.18/bucket.tar.gz"

// TestArchiveOfVelero prepares everything that is in a backup of real Velero.
func TestArchiveOfVelero(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	bucket := unpackFixture(t)
	extracted := extractBackup(t, filepath.Join(bucket, layout.BackupContents("shop-1")))
	target := items.Target{BackupName: "shop-1", RestoreName: "again", KeptVolumes: map[string]bool{"shop-data": true}}

	restored, leftOut := map[string][]string{}, map[string]items.Reason{}
	for _, gr := range items.DefaultPriorities().Order(extracted.Resources()) {
		if reason := items.ExcludedResource(gr); reason != "" {
			leftOut[gr.String()] = reason
			continue
		}
		for ref, err := range extracted.Items(gr) {
			g.Expect(err).NotTo(HaveOccurred())
			archived, err := ref.Read()
			g.Expect(err).NotTo(HaveOccurred())
			if _, reason := target.Prepare(archived); reason != "" {
				leftOut[ref.String()] = reason
				continue
			}
			restored[gr.String()] = append(restored[gr.String()], ref.Name)
		}
	}

	g.Expect(leftOut).To(Equal(map[string]items.Reason{
		"events":                           items.ReasonNotRestorable,
		"configmaps shop/kube-root-ca.crt": items.ReasonManaged,
		"endpoints shop/web":               items.ReasonManaged,
		"endpointslices.discovery.k8s.io shop/web-px5ng": items.ReasonManaged,
	}))
	g.Expect(restored).To(Equal(map[string][]string{
		"namespaces": {"shop"}, "persistentvolumes": {"shop-data"}, "persistentvolumeclaims": {"data-db-0"},
		"serviceaccounts": {"default"}, "secrets": {"db"}, "configmaps": {"settings"}, "pods": {"db-0", "web-df4544bbc-8tlg2"},
		"replicasets.apps": {"web-df4544bbc"}, "services": {"web"}, "controllerrevisions.apps": {"db-6bbffcd74"},
		"deployments.apps": {"web"}, "statefulsets.apps": {"db"},
	}))
}

// TestVolumesOfVelero finds the volumes of every pod of a backup of real Velero.
func TestVolumesOfVelero(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	bucket := unpackFixture(t)
	extracted := extractBackup(t, filepath.Join(bucket, layout.BackupContents("shop-1")))
	var inBucket []velerov1.PodVolumeBackup
	file, err := os.Open(filepath.Join(bucket, layout.BackupPodVolumeBackups("shop-1")))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(errors.Join(layout.DecodeJSONGzip(file, &inBucket), file.Close())).To(Succeed())
	data := newBackupData(mergeVolumes(nil, inBucket), nil)

	got := map[string][]string{}
	for ref, err := range extracted.Items(podsResource) {
		g.Expect(err).NotTo(HaveOccurred())
		archived, err := ref.Read()
		g.Expect(err).NotTo(HaveOccurred())
		pod, err := toPod(archived)
		g.Expect(err).NotTo(HaveOccurred())
		volumes := decideVolumes(pod, data.ofPod(ref.Namespace, ref.Name))
		g.Expect(volumes.warnings).To(BeEmpty())
		g.Expect(volumes.losses).To(BeEmpty())
		got[ref.Name] = volumes.names()
	}

	g.Expect(got).To(Equal(map[string][]string{"db-0": {"data", "scratch"}, "web-df4544bbc-8tlg2": {"content"}}))
}

func extractBackup(t *testing.T, file string) *archive.Extracted {
	t.Helper()
	g := NewWithT(t)
	content, err := os.Open(file)
	g.Expect(err).NotTo(HaveOccurred())
	defer content.Close()
	extracted, err := archive.Extract(content, t.TempDir(), archive.Limits{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(extracted.Close()).To(Succeed()) })
	return extracted
}

// unpackFixture spreads the backups of the fixture over a folder.
func unpackFixture(t *testing.T) string {
	t.Helper()
	g := NewWithT(t)
	content, err := os.Open(fixture)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("The bucket written by Velero is not at %s, so it is not compared with", fixture)
	}
	g.Expect(err).NotTo(HaveOccurred())
	defer content.Close()
	unzipped, err := gzip.NewReader(content)
	g.Expect(err).NotTo(HaveOccurred())

	folder := t.TempDir()
	for entries := tar.NewReader(unzipped); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return folder
		}
		g.Expect(err).NotTo(HaveOccurred())
		if isBackup, err := filepath.Match("backups/*/*", header.Name); err != nil || !isBackup || header.Typeflag != tar.TypeReg {
			continue
		}
		body, err := io.ReadAll(entries)
		g.Expect(err).NotTo(HaveOccurred())
		file := filepath.Join(folder, header.Name)
		g.Expect(os.MkdirAll(filepath.Dir(file), 0o755)).To(Succeed())
		g.Expect(os.WriteFile(file, body, 0o644)).To(Succeed())
	}
}
