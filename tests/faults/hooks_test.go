package faults

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// freeze gives the pod of an application hooks that write and remove a file, and
// note that they were run.
func (a bigApp) freeze(t *testing.T, c *suite.Cluster) (frozen string) {
	t.Helper()
	before := a.pod.DeepCopy()
	a.pod.Annotations[velerov1.PreBackupHookCommandAnnotation] = `["sh", "-c", "echo pre >> /data/ran; touch /data/frozen"]`
	a.pod.Annotations[velerov1.PostBackupHookCommandAnnotation] = `["sh", "-c", "echo post >> /data/ran; rm /data/frozen"]`
	NewWithT(t).Expect(c.Client.Patch(t.Context(), &a.pod, client.MergeFrom(before))).To(Succeed())
	return filepath.Join(c.EmptyDir(a.pod, "data"), "frozen")
}

func TestServerKilledBetweenHooks(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	a := newBigApp(t, c)
	frozen := a.freeze(t, c)
	b := suite.NewBackup(a.namespace)
	c.Apply(t, b)
	waitBackupMoves(t, c, b)
	g.Expect(frozen).To(BeAnExistingFile())

	kill(t, "server")

	c.FinishedBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 2}))
	g.Expect(frozen).NotTo(BeAnExistingFile(), "the new server has run the post hook")
	g.Expect(readFile(t, filepath.Join(filepath.Dir(frozen), "ran"))).To(Equal("pre\npost\n"), "and not the pre hook again")
}

func TestBackupDeletedBetweenHooks(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	a := newBigApp(t, c)
	frozen := a.freeze(t, c)
	b := suite.NewBackup(a.namespace)
	c.Apply(t, b)
	waitBackupMoves(t, c, b)
	g.Expect(frozen).To(BeAnExistingFile())

	g.Expect(c.Client.Delete(t.Context(), b)).To(Succeed())

	g.Eventually(frozen, suite.Short).ShouldNot(BeAnExistingFile(), "the pod is thawed without the backup")
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return string(content)
}
