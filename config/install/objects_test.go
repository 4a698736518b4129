package install

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/podkeep/podkeep/webhook/serving"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestObjects pins an installation, but for the definitions, which have a
// conformance test of their own.
func TestObjects(t *testing.T) {
	t.Parallel()
	tests := map[string]Options{
		"s3": {
			Image: "registry.example.com/podkeep:v1", Credentials: []byte("[default]\n"), RepositoryPassword: []byte("secret"),
			Location: &Location{Provider: "aws", Bucket: "backups", Prefix: "here", Config: map[string]string{"region": "eu-west-1"}},
		},
		"filesystem": {
			Namespace: "backup", Image: "registry.example.com/podkeep:v1", RepositoryPassword: []byte("secret"), KubeletRootDir: "/var/lib/k0s/kubelet",
			NodeAgentConfigMap: "settings", CertificateIssuer: serving.CertManager, PrivilegedNodeAgent: true, DefaultVolumesToFSBackup: true,
			Monitoring: &Monitoring{Labels: map[string]string{"release": "prometheus"}},
			Location:   &Location{Provider: "filesystem", Config: map[string]string{"fspath": "/backups", "claim": "store"}},
		},
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			objects, err := Objects(options)

			g.Expect(err).NotTo(HaveOccurred())
			var got []byte
			for _, obj := range objects {
				g.Expect(obj.GetLabels()).To(HaveKeyWithValue("component", "velero"), obj.GetName())
				if _, ok := obj.(*apiextensionsv1.CustomResourceDefinition); ok {
					continue
				}
				data, err := yaml.Marshal(obj)
				g.Expect(err).NotTo(HaveOccurred())
				got = append(append(got, "---\n"...), data...)
			}
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				g.Expect(os.WriteFile(golden, got, 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(string(want)), "rewrite it with -update if this is meant")
		})
	}
}

func TestObjectsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options Options
		want    string
	}{
		"no image":         {Options{}, "image: Required value"},
		"unknown provider": {Options{Image: "i", Location: &Location{Provider: "tape"}}, `spec.provider: Unsupported value: "velero.io/tape"`},
		"relative folder":  {Options{Image: "i", Location: &Location{Provider: "filesystem", Config: map[string]string{"fspath": "backups"}}}, "must be an absolute path"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Objects(tc.options)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}
