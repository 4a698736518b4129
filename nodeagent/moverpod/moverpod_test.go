package moverpod

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/nodeagentconfig"
	"github.com/podkeep/podkeep/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

func TestBuild(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		template func(*Template)
		mover    Mover
	}{
		"backup-s3": {mover: backupMover(s3Location())},
		"backup-s3-granted-configured": {
			template: func(tpl *Template) {
				tpl.Labels = map[string]string{"team": "storage"}
				tpl.Annotations = map[string]string{"a": "b", velerov1.SlotAnnotation: "mine"}
				tpl.PriorityClassName = "low"
				tpl.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
				tpl.Env = []corev1.EnvVar{{Name: "HTTPS_PROXY", Value: "http://proxy:3128"}}
				tpl.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
			},
			mover: func() Mover {
				m := backupMover(s3Location(ownCredential, caCertRef))
				m.Granted = true
				m.CacheLimitMB = 100
				return m
			}(),
		},
		"backup-filesystem-claim": {mover: backupMover(folder(location.ConfigFilesystemClaim, "backups"))},
		"restore-filesystem-hostpath": {
			mover: restoreMover(folder(location.ConfigFilesystemHostPath, "/srv/backups")),
		},
		"restore-s3-privileged": {
			template: func(tpl *Template) { tpl.Privileged = true; tpl.Credentials = nil },
			mover:    restoreMover(s3Location()),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tpl := template()
			if tc.template != nil {
				tc.template(&tpl)
			}

			pod, err := Build(tpl, tc.mover)

			g.Expect(err).NotTo(HaveOccurred())
			got, err := yaml.Marshal(pod)
			g.Expect(err).NotTo(HaveOccurred())
			golden(g, name, got)
		})
	}
}

func TestEveryGoldenFileHasATest(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	files, err := filepath.Glob("testdata/*.golden.yaml")

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).To(HaveLen(5))
}

func TestBuildRefusesAFolderThatNothingIsMountedAt(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	_, err := Build(template(), backupMover(folder(location.ConfigPublicURL, "https://backup.example.com")))

	g.Expect(err).To(MatchError(ContainSubstring(`location default: spec.config: Required value: "claim" or "hostPath"`)))
}

func TestTaskOfMoverPodParses(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	pod, err := Build(template(), restoreMover(s3Location()))
	g.Expect(err).NotTo(HaveOccurred())

	task, err := wire.ParseTask(pod.Spec.Containers[0].Args[1])

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(task.VolumePath).To(Equal("/uid-1"))
	g.Expect(task.Restore.RestoreUID).To(Equal("restore-uid"))
	g.Expect(task.Repository.Location.CredentialsFile).To(Equal("/inputs/cloud"))
}

func TestTemplateFor(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	agent := agentPod()

	got, err := TemplateFor(agent, nodeagentconfig.Defaults())

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got.Image).To(Equal("registry/podkeep:v1"))
	g.Expect(got.DNSPolicy).To(Equal(corev1.DNSDefault))
	g.Expect(got.Labels).To(Equal(map[string]string{"azure.workload.identity/use": "true"}))
	g.Expect(got.Annotations).To(Equal(map[string]string{"iam.amazonaws.com/role": "backup"}))
	g.Expect(got.Env).To(HaveExactElements(corev1.EnvVar{Name: "NO_PROXY", Value: "10.0.0.0/8"}))

	got, err = TemplateFor(agent, nodeagentconfig.Settings{PodLabels: map[string]string{"a": "b"}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got.Labels).To(Equal(map[string]string{"a": "b"}), "configured labels replace inherited ones")
	g.Expect(got.Annotations).To(HaveKey("iam.amazonaws.com/role"))
}

func TestHostPodsPath(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	agent := agentPod()

	g.Expect(HostPodsPath(agent)).To(Equal("/var/lib/kubelet/pods"))

	agent.Spec.Volumes = nil
	_, err := HostPodsPath(agent)
	g.Expect(err).To(MatchError(ContainSubstring(`no hostPath volume "host-pods"`)))
}

func golden(g *WithT, name string, got []byte) {
	file := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		g.Expect(os.MkdirAll("testdata", 0o755)).To(Succeed())
		g.Expect(os.WriteFile(file, got, 0o644)).To(Succeed())
	}
	want, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(string(want)))
}

func template() Template {
	return Template{
		Namespace:          "velero",
		Node:               "n1",
		Image:              "registry/podkeep:v1",
		ImagePullPolicy:    corev1.PullIfNotPresent,
		DNSPolicy:          corev1.DNSClusterFirst,
		Credentials:        secretKey("cloud-credentials", "cloud"),
		RepositoryPassword: *secretKey("velero-repo-credentials", "repository-password"),
	}
}

func secretKey(name, key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
}

func backupMover(bsl *velerov1.BackupStorageLocation) Mover {
	return Mover{
		Kind: wire.KindBackup, Name: "nightly-0123456789", UID: "uid-1",
		HostPath:            "/var/lib/kubelet/pods/pod-uid/volumes/kubernetes.io~empty-dir/data",
		Location:            bsl,
		RepositoryNamespace: "shop",
		Backup: &wire.Backup{
			SourcePath: "snapshot-pod-volume/kopia/shop/db-0/data", Identity: "StatefulSet/db/data", ParallelFiles: 4,
		},
	}
}

func restoreMover(bsl *velerov1.BackupStorageLocation) Mover {
	return Mover{
		Kind: wire.KindRestore, Name: "again-0123456789", UID: "uid-1",
		HostPath:            "/var/lib/kubelet/pods/pod-uid/volumes/kubernetes.io~csi/pv-1/mount",
		Location:            bsl,
		RepositoryNamespace: "shop",
		Restore:             &wire.Restore{SnapshotID: "k1", RestoreUID: "restore-uid", SparseFiles: true},
	}
}

func s3Location(mods ...func(*velerov1.BackupStorageLocation)) *velerov1.BackupStorageLocation {
	bsl := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: "aws",
			Config:   map[string]string{"region": "minio", "s3Url": "http://s3:9000"},
			StorageType: velerov1.StorageType{
				ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "backups", Prefix: "c1", CACert: []byte("PEM")},
			},
		},
	}
	for _, mod := range mods {
		mod(bsl)
	}
	return bsl
}

func ownCredential(bsl *velerov1.BackupStorageLocation) {
	bsl.Spec.Credential = secretKey("minio", "aws")
}

func caCertRef(bsl *velerov1.BackupStorageLocation) {
	bsl.Spec.ObjectStorage.CACert = nil
	bsl.Spec.ObjectStorage.CACertRef = secretKey("minio-ca", "tls.crt")
}

func folder(key, value string) *velerov1.BackupStorageLocation {
	return &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: "filesystem",
			Config:   map[string]string{location.ConfigFilesystemPath: "/backups", key: value},
		},
	}
}

func agentPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: "node-agent-x",
			Labels:      map[string]string{"name": "node-agent", "azure.workload.identity/use": "true"},
			Annotations: map[string]string{"iam.amazonaws.com/role": "backup", "other": "x"},
		},
		Spec: corev1.PodSpec{
			NodeName: "n1", DNSPolicy: corev1.DNSDefault,
			Containers: []corev1.Container{
				{Name: "proxy", Image: "proxy"},
				{Name: AgentContainer, Image: "registry/podkeep:v1", Env: []corev1.EnvVar{
					{Name: "NODE_NAME", Value: "n1"}, {Name: "NO_PROXY", Value: "10.0.0.0/8"},
				}},
			},
			Volumes: []corev1.Volume{{Name: HostPodsVolume, VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/kubelet/pods", Type: ptr.To(corev1.HostPathDirectory)},
			}}},
		},
	}
}
