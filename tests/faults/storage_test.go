package faults

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// faultsBucket is the bucket of these tests: what they leave must not be in the
// way of the default location.
const faultsBucket = "faults"

// location is a storage location on the cluster's gateway with a mistake.
func location(name string, mod func(*velerov1.BackupStorageLocation)) *velerov1.BackupStorageLocation {
	l := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: name},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: "aws",
			Config:   map[string]string{"region": "us-east-1", "s3ForcePathStyle": "true", "s3Url": suite.S3URL},
			StorageType: velerov1.StorageType{
				ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: faultsBucket},
			},
		},
	}
	mod(l)
	return l
}

func expectLocation(t *testing.T, c *suite.Cluster, l *velerov1.BackupStorageLocation, phase velerov1.BackupStorageLocationPhase) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // also in cleanups
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(ctx, client.ObjectKeyFromObject(l), l)).To(Succeed())
		g.Expect(l.Status.Phase).To(Equal(phase), l.Status.Message)
	}, suite.Long).Should(Succeed())
}

func TestMistakesInALocationAreNamed(t *testing.T) {
	tests := map[string]struct {
		location *velerov1.BackupStorageLocation
		reason   string
		mend     func(t *testing.T, c *suite.Cluster)
	}{
		"wrong S3 key": {
			location: location("wrong-key", func(l *velerov1.BackupStorageLocation) {
				l.Spec.Credential = &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "wrong-key"}, Key: "cloud"}
			}),
			reason: velerov1.ReasonAccessDenied,
			mend: func(t *testing.T, c *suite.Cluster) {
				t.Helper()
				s := &corev1.Secret{}
				g := NewWithT(t)
				g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: "wrong-key"}, s)).To(Succeed())
				s.Data["cloud"] = []byte(suite.S3Credentials)
				g.Expect(c.Client.Update(t.Context(), s)).To(Succeed())
			},
		},
		"missing bucket": {
			location: location("no-bucket", func(l *velerov1.BackupStorageLocation) { l.Spec.ObjectStorage.Bucket = "no-bucket" }),
			reason:   velerov1.ReasonBucketNotFound,
			mend: func(t *testing.T, c *suite.Cluster) {
				t.Helper()
				NewWithT(t).Expect(os.MkdirAll(filepath.Join(c.StateDir, "s3", "no-bucket"), 0o755)).To(Succeed())
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := suite.Connect(t)
			g := NewWithT(t)
			ns := c.NewNamespace(t, "fault")
			c.Apply(t, suite.Pod(ns, "app"))
			c.RunningPods(t, ns, "app", 1)
			wrong := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: tc.location.Name},
				StringData: map[string]string{"cloud": "[default]\naws_access_key_id=podkeep\naws_secret_access_key=wrong\n"},
			}
			g.Expect(os.MkdirAll(filepath.Join(c.StateDir, "s3", faultsBucket), 0o755)).To(Succeed())
			g.Expect(os.RemoveAll(filepath.Join(c.StateDir, "s3", "no-bucket"))).To(Succeed())
			c.Apply(t, wrong, tc.location)
			t.Cleanup(func() { c.Remove(t, wrong, tc.location) })

			expectLocation(t, c, tc.location, velerov1.BackupStorageLocationPhaseUnavailable)
			g.Expect(tc.location.Status.Conditions).To(ContainElement(HaveField("Reason", tc.reason)))
			b := suite.NewBackup(ns)
			b.Spec.StorageLocation = tc.location.Name
			c.RunBackup(t, b)
			g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailedValidation))
			g.Expect(b.Status.ValidationErrors).To(ContainElement(ContainSubstring(tc.location.Name)))

			tc.mend(t, c)
			expectLocation(t, c, tc.location, velerov1.BackupStorageLocationPhaseAvailable)
			next := suite.NewBackup(ns)
			next.Spec.StorageLocation = tc.location.Name
			c.RunBackup(t, next)
			g.Expect(next.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", next.Status)
		})
	}
}

func TestStorageStopsHalfWay(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	a := newBigApp(t, c)
	start := func() {
		c.Scale(t, "s3", "versitygw", 1)
		expectLocation(t, c, &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: "default"}},
			velerov1.BackupStorageLocationPhaseAvailable)
	}
	t.Cleanup(start)
	b := suite.NewBackup(a.namespace)
	c.Apply(t, b)
	waitBackupMoves(t, c, b)

	c.Scale(t, "s3", "versitygw", 0)

	c.FinishedBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailed), "%+v", b.Status)
	g.Expect(b.Status.FailureReason).To(ContainSubstring("s3://"+suite.S3Bucket), "it names the place")
	v := c.VolumeBackups(t, b)[a.namespace+"/app/data"]
	g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseFailed))
	g.Expect(v.Status.Message).To(ContainSubstring(a.namespace + "/app"))
	start()
	next := c.RunBackup(t, suite.NewBackup(a.namespace))
	g.Expect(next.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", next.Status)
}

func TestWrongRepositoryPassword(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "fault")
	c.Apply(t, suite.Pod(ns, "app"))
	c.RunningPods(t, ns, "app", 1)
	first := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(first.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", first.Status)
	right := c.SetRepositoryPassword(t, []byte("not the password"))
	t.Cleanup(func() { c.SetRepositoryPassword(t, right) })

	b := c.RunBackup(t, suite.NewBackup(ns))

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed), "%+v", b.Status)
	v := c.VolumeBackups(t, b)[ns+"/app/data"]
	g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseFailed))
	g.Expect(v.Status.Message).To(And(ContainSubstring("password"), ContainSubstring(ns+"/app")))
	c.SetRepositoryPassword(t, right)
	next := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(next.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", next.Status)
}

func TestRestoreTargetFull(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "fault")
	c.Apply(t, suite.StatefulSet(ns, "app"))
	c.RunningPods(t, ns, "app", 1)
	dir := c.ClaimDir(t, ns, "data-app-0")
	g.Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "big"), suite.Random(4, 20<<20), 0o644)).To(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)

	// The target has a claim already, bound to a volume that is too small.
	target := c.NewNamespace(t, "fault")
	c.Mount(t, "/srv/small", "size=4m")
	c.Apply(t, smallVolume(target), smallClaim(target))
	r := suite.NewRestore(b, target)
	c.RunRestore(t, r)

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed), "%+v", r.Status)
	v := c.VolumeRestores(t, r)[target+"/app-0/data"]
	g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeRestorePhaseFailed))
	g.Expect(v.Status.Message).To(And(ContainSubstring("no space left"), ContainSubstring(target+"/app-0")))
	pods := &corev1.PodList{}
	g.Expect(c.Client.List(t.Context(), pods, client.InNamespace(target))).To(Succeed())
	for _, p := range pods.Items {
		g.Expect(p.Status.ContainerStatuses).To(HaveEach(HaveField("State.Running", BeNil())), "no application runs on half its data")
	}

	// The next try has room.
	c.DeleteNamespace(t, target)
	next := c.RunRestore(t, suite.NewRestore(b, target))
	g.Expect(next.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", next.Status)
}

func smallVolume(name string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName:              "small",
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/srv/small"}},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"node1"}}},
			}}}},
		},
	}
}

func smallClaim(ns string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "data-app-0", Labels: map[string]string{"app": "app"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: ptr.To("small"),
			VolumeName:       ns,
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}
