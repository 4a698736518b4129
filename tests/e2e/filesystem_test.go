package e2e

import (
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// TestFilesystemLocation runs an installation of its own that stores in a folder
// of the node.
func TestFilesystemLocation(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	const installation = "velero-folder"
	c.Install(t, installation, "a password", "--provider", "filesystem", "--backup-location-config", "fspath=/backups,hostPath=/srv/s3/folder")
	s := newShop(t, c)
	b := suite.NewBackup(s.namespace)
	b.Namespace = installation

	c.RunBackup(t, b)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	target := s.namespace + "-copy"
	c.CleanNamespace(t, target)
	r := suite.NewRestore(b, target)
	r.Namespace = installation
	c.RunRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	s.expectRestored(t, c, target)
}
