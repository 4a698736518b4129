package suite

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// NewBackup builds a backup of one namespace with a name of its own.
func NewBackup(ns string) *velerov1.Backup {
	return &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: ns + "-" + rand.String(4)},
		Spec:       velerov1.BackupSpec{IncludedNamespaces: []string{ns}},
	}
}

// NewRestore builds a restore of a backup. target is the namespace to restore
// into, "" for the original one.
func NewRestore(b *velerov1.Backup, target string) *velerov1.Restore {
	r := &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: b.Name + "-" + rand.String(4)},
		Spec:       velerov1.RestoreSpec{BackupName: b.Name},
	}
	if target != "" {
		r.Spec.NamespaceMapping = map[string]string{b.Spec.IncludedNamespaces[0]: target}
	}
	return r
}

// RunBackup creates a backup and returns it when it has finished.
func (c *Cluster) RunBackup(t *testing.T, b *velerov1.Backup) *velerov1.Backup {
	t.Helper()
	c.Apply(t, b)
	return c.FinishedBackup(t, b)
}

// FinishedBackup waits until a backup has finished.
func (c *Cluster) FinishedBackup(t *testing.T, b *velerov1.Backup) *velerov1.Backup {
	t.Helper()
	NewWithT(t).Eventually(func() (bool, error) {
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(b), b)
		return b.IsFinished(), err
	}, Long, tick).Should(BeTrue(), func() string { return fmt.Sprintf("backup %s: %+v", b.Name, b.Status) })
	return b
}

// RunRestore creates a restore and returns it when it has finished.
func (c *Cluster) RunRestore(t *testing.T, r *velerov1.Restore) *velerov1.Restore {
	t.Helper()
	c.Apply(t, r)
	return c.FinishedRestore(t, r)
}

// FinishedRestore waits until a restore has finished.
func (c *Cluster) FinishedRestore(t *testing.T, r *velerov1.Restore) *velerov1.Restore {
	t.Helper()
	NewWithT(t).Eventually(func() (bool, error) {
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)
		return r.IsFinished(), err
	}, Long, tick).Should(BeTrue(), func() string { return fmt.Sprintf("restore %s: %+v", r.Name, r.Status) })
	return r
}

// VolumeBackups returns the volumes of a backup, by namespace/pod/volume.
func (c *Cluster) VolumeBackups(t *testing.T, b *velerov1.Backup) map[string]velerov1.PodVolumeBackup {
	t.Helper()
	list := &velerov1.PodVolumeBackupList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), list, client.InNamespace(Namespace),
		client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(b.Name)})).To(Succeed())
	volumes := map[string]velerov1.PodVolumeBackup{}
	for _, v := range list.Items {
		volumes[v.Spec.Pod.Namespace+"/"+v.Spec.Pod.Name+"/"+v.Spec.Volume] = v
	}
	return volumes
}

// VolumeRestores returns the volumes of a restore, by namespace/pod/volume.
func (c *Cluster) VolumeRestores(t *testing.T, r *velerov1.Restore) map[string]velerov1.PodVolumeRestore {
	t.Helper()
	list := &velerov1.PodVolumeRestoreList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), list, client.InNamespace(Namespace),
		client.MatchingLabels{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(r.Name)})).To(Succeed())
	volumes := map[string]velerov1.PodVolumeRestore{}
	for _, v := range list.Items {
		volumes[v.Spec.Pod.Namespace+"/"+v.Spec.Pod.Name+"/"+v.Spec.Volume] = v
	}
	return volumes
}
