package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// listening returns a client of the cluster that keeps what kubectl would print.
func listening(t *testing.T, c *suite.Cluster) (client.Client, *warnings) {
	t.Helper()
	cfg, said := rest.CopyConfig(c.Config), &warnings{}
	cfg.WarningHandler = said
	warned, err := client.New(cfg, client.Options{Scheme: c.Client.Scheme()})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return warned, said
}

// inInstall is the metadata of an object of the test in the install namespace.
func inInstall(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: suite.Namespace, Name: name}
}

func TestBrokenConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	config := func(labels, data map[string]string) *corev1.ConfigMap {
		cm := &corev1.ConfigMap{ObjectMeta: inInstall(c.NewNamespace(t, "validation")), Data: data}
		cm.Labels = labels
		return cm
	}
	role := func(role string) map[string]string { return map[string]string{velerov1.ConfigLabel: role} }
	gate := map[string]string{velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: velerov1.RestoreItemActionKind}
	for name, tc := range map[string]struct {
		object client.Object
		want   string
	}{
		"the gate's ConfigMap":  {config(gate, map[string]string{"cpuLimit": "plenty"}), `data.cpuLimit: Invalid value: "plenty": must be a quantity such as 100m`},
		"the node agent's":      {config(role("node-agent"), map[string]string{"x": `{"podResources":{"cpuLimit":"much"}}`}), `data[x]: podResources.cpuLimit: Invalid value: "much"`},
		"repositories'":         {config(role("backup-repository"), map[string]string{"kopia": `{"fullMaintenanceInterval":"often"}`}), `data[kopia][fullMaintenanceInterval]: Unsupported value: "often": supported values: "normalGC"`},
		"maintenance's":         {config(role("repo-maintenance-job"), map[string]string{"global": `{`}), "data[global]: "},
		"a policy without name": {config(nil, map[string]string{"p": "version: v1\nvolumePolicies:\n- action: {type: keep}\n"}), `volumePolicies[0].action.type: Unsupported value: "keep"`},
		"a location": {&velerov1.BackupStorageLocation{ObjectMeta: inInstall("broken"), Spec: velerov1.BackupStorageLocationSpec{
			Provider: "aws", Config: map[string]string{"s3URL": suite.S3URL},
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b"}},
		}}, "spec.config[s3URL]: Unsupported value: no such key; supported keys: "},
		"a backup": {&velerov1.Backup{ObjectMeta: inInstall("broken"), Spec: velerov1.BackupSpec{
			IncludedNamespaces: []string{"a"}, ExcludedNamespaces: []string{"a"},
		}}, `spec.excludedNamespaces: Invalid value: "a": must not be in includedNamespaces too`},
		"a restore": {&velerov1.Restore{ObjectMeta: inInstall("broken"), Spec: velerov1.RestoreSpec{
			BackupName: "b", ExistingResourcePolicy: "replace",
		}}, `spec.existingResourcePolicy: Unsupported value: "replace": supported values: "none", "update"`},
		"a schedule": {&velerov1.Schedule{ObjectMeta: inInstall("broken"), Spec: velerov1.ScheduleSpec{
			Schedule: "@daily", Template: velerov1.BackupSpec{LabelSelector: &metav1.LabelSelector{}, OrLabelSelectors: []*metav1.LabelSelector{{}}},
		}}, "spec.template.orLabelSelectors: Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)

			err := c.Client.Create(t.Context(), tc.object)

			if err == nil {
				c.Remove(t, tc.object)
			}
			g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}

func TestWhatVeleroAcceptsIsAdmitted(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	warned, said := listening(t, c)
	name := c.NewNamespace(t, "validation")
	for _, object := range []client.Object{
		// What is history or comes from a bucket is not looked at.
		&velerov1.Backup{
			ObjectMeta: inInstall(name + "-synced"), Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseFailed},
			Spec: velerov1.BackupSpec{IncludedNamespaces: []string{"a"}, ExcludedNamespaces: []string{"a"}},
		},
		// Velero has plugins that podkeep has not.
		&velerov1.BackupStorageLocation{ObjectMeta: inInstall(name), Spec: velerov1.BackupStorageLocationSpec{
			Provider: "azure", Config: map[string]string{"storageAccount": "a"},
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b"}},
		}},
		&velerov1.Schedule{ObjectMeta: inInstall(name), Spec: velerov1.ScheduleSpec{
			Schedule: "CRON_TZ=Europe/Berlin 0 3 * * *", Paused: true,
		}},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: name, Labels: map[string]string{velerov1.ConfigLabel: velerov1.ConfigNodeAgent}},
			Data:       map[string]string{"x": `{"loadConcurrency":{"globalConfig":2},"backupPVC":{},"fastMode":true}`},
		},
	} {
		g.Expect(warned.Create(t.Context(), object)).To(Succeed())
		t.Cleanup(func() { c.Remove(t, object) })
	}

	g.Expect(said.get()).To(And(
		ContainElement(ContainSubstring(`spec.provider: Unsupported value: "velero.io/azure"`)),
		ContainElement(ContainSubstring("fastMode: unknown key, ignored")),
	))
	g.Eventually(func(g Gomega) { // the controllers write the status of what they find wrong
		l := &velerov1.BackupStorageLocation{}
		g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: name}, l)).To(Succeed())
		g.Expect(l.Status.Phase).To(Equal(velerov1.BackupStorageLocationPhaseUnavailable))
	}, suite.Short).Should(Succeed())
}

func TestAuthorsOfWorkloadsAreWarned(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	warned, said := listening(t, c)
	ns := c.NewNamespace(t, "authors")
	d := suite.Deployment(ns, "app")
	d.Spec.Template.Annotations = map[string]string{
		velerov1.VolumesToBackupAnnotation: "data,node,dta", velerov1.VolumesToExcludeAnnotation: "data",
	}
	d.Spec.Template.Spec.Volumes = append(d.Spec.Template.Spec.Volumes, corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: "/etc"},
	}})
	d.Spec.Template.Spec.Containers[0].VolumeMounts = append(d.Spec.Template.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "node", MountPath: "/node"})

	g.Expect(warned.Create(t.Context(), d)).To(Succeed())

	g.Expect(said.get()).To(ConsistOf(
		ContainSubstring("the pod has no volumes named dta"),
		ContainSubstring("volume node cannot be backed up (HostPathUnsupported): it is a directory of the node; use a PersistentVolumeClaim"),
		ContainSubstring("volume data is in both"),
	))
	c.RunningPods(t, ns, "app", 1)

	t.Run("a workload without annotations in a namespace that takes everything", func(t *testing.T) {
		g := NewWithT(t)
		labelNamespace(t, c, ns, velerov1.FSBackupLabel, velerov1.FSBackupOptOut)
		g.Eventually(func(g Gomega) { // until API server and webhook know the label
			again, texts := listening(t, c)
			plain := d.DeepCopy()
			plain.ObjectMeta = metav1.ObjectMeta{Namespace: ns, GenerateName: "plain-"}
			plain.Spec.Template.Annotations = nil
			g.Expect(again.Create(t.Context(), plain, client.DryRunAll)).To(Succeed())
			g.Expect(texts.get()).To(ConsistOf(ContainSubstring("volume node cannot be backed up (HostPathUnsupported)")))
		}, suite.Short).Should(Succeed())
	})
}
