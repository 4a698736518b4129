package compat

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob/s3"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/restore"
	"github.com/kopia/kopia/snapshot/snapshotfs"
	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// TestPlainKopiaReadsOurRepository uses nothing of podkeep but the password.
func TestPlainKopiaReadsOurRepository(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "kopia")
	c.Apply(t, suite.Pod(ns, "app"))
	source := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	for name, content := range map[string]string{"a": "first", "dir/b": "second"} {
		g.Expect(os.MkdirAll(filepath.Dir(filepath.Join(source, name)), 0o750)).To(Succeed())
		g.Expect(os.WriteFile(filepath.Join(source, name), []byte(content), 0o640)).To(Succeed())
	}
	want, err := suite.ReadTree(source)
	g.Expect(err).NotTo(HaveOccurred())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)

	rep := openWithKopia(t, c, ns)
	snapshots, err := snapshot.ListSnapshots(t.Context(), rep, snapshot.SourceInfo{
		Host: "default", UserName: "default", Path: "snapshot-pod-volume/kopia/" + ns + "/app/data",
	})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(snapshots).To(HaveLen(1))
	g.Expect(string(snapshots[0].ID)).To(Equal(c.VolumeBackups(t, b)[ns+"/app/data"].Status.SnapshotID))
	g.Expect(restoreWithKopia(t, rep, snapshots[0])).To(Equal(want))
}

func openWithKopia(t *testing.T, c *suite.Cluster, ns string) repo.Repository {
	t.Helper()
	g := NewWithT(t)
	storage, err := s3.New(t.Context(), &s3.Options{
		BucketName: suite.S3Bucket, Prefix: "kopia/" + ns + "/", Endpoint: "10.96.0.90:9000", DoNotUseTLS: true,
		AccessKeyID: suite.S3AccessKey, SecretAccessKey: suite.S3SecretKey, Region: "us-east-1",
	}, false)
	g.Expect(err).NotTo(HaveOccurred())
	config := filepath.Join(t.TempDir(), "kopia.config")
	password := c.RepositoryPassword(t)
	g.Expect(repo.Connect(t.Context(), config, storage, password, &repo.ConnectOptions{
		ClientOptions: repo.ClientOptions{Hostname: "default", Username: "default"},
	})).To(Succeed())
	rep, err := repo.Open(t.Context(), config, password, &repo.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(rep.Close(context.WithoutCancel(t.Context()))).To(Succeed()) })
	return rep
}

func restoreWithKopia(t *testing.T, rep repo.Repository, m *snapshot.Manifest) []suite.Entry {
	t.Helper()
	g := NewWithT(t)
	target := t.TempDir()
	root, err := snapshotfs.SnapshotRoot(rep, m)
	g.Expect(err).NotTo(HaveOccurred())
	out := &restore.FilesystemOutput{TargetPath: target, OverwriteDirectories: true, OverwriteFiles: true}
	g.Expect(out.Init(t.Context())).To(Succeed())
	_, err = restore.Entry(t.Context(), rep, out, root, restore.Options{Parallel: 1, RestoreDirEntryAtDepth: 100})
	g.Expect(err).NotTo(HaveOccurred())
	entries, err := suite.ReadTree(target)
	g.Expect(err).NotTo(HaveOccurred())
	return entries
}
