// Java's own clients, Maven and Gradle.

import type { Tool } from '../tool.js'

const CLIENT = `import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Client {
  public static void main(String[] arguments) throws Exception {
    URI address = URI.create(arguments[1]);
    if (arguments[0].equals("connection")) {
      address.toURL().openStream().transferTo(System.out);
    } else {
      HttpRequest request = HttpRequest.newBuilder(address).build();
      System.out.println(HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body());
    }
    System.out.flush();
  }
}
`

/** What runs for seconds is done sooner without the second compiler. */
const SHORT_LIVED = '-XX:TieredStopAtLevel=1'

function java(id: string, name: string, which: string): Tool {
  return {
    id,
    name,
    does: 'GET',
    version: 'javac -version && java -version',
    from: { debian: 'default-jdk-headless' },
    prepare: { files: { 'Client.java': CLIENT }, script: 'javac Client.java' },
    work: ({ url }, shared) => ({ script: `java -cp '${shared}' Client ${which} ${url}/hello` }),
  }
}

export const JAVA_TOOLS: readonly Tool[] = [
  java('java-http-client', 'Java HttpClient', 'client'),
  java('java-connection', 'Java HttpsURLConnection', 'connection'),
  {
    id: 'mvn',
    name: 'Maven',
    does: 'fetches a parent and an extension',
    version: 'mvn --version',
    from: { debian: 'maven' },
    work: ({ url }) => ({
      files: {
        'settings.xml': `<settings><mirrors><mirror><id>matrix</id><mirrorOf>*</mirrorOf><url>${url}/maven</url></mirror></mirrors></settings>`,
        'pom.xml': `<project><modelVersion>4.0.0</modelVersion>
<parent><groupId>test.matrix</groupId><artifactId>parent</artifactId><version>1.0.0</version><relativePath/></parent>
<artifactId>app</artifactId><packaging>pom</packaging>
<build><extensions><extension><groupId>test.matrix</groupId><artifactId>extension</artifactId><version>1.0.0</version></extension></extensions></build>
</project>`,
      },
      script: `MAVEN_OPTS=${SHORT_LIVED} mvn -q -B -s settings.xml -Dmaven.repo.local="$PWD/repository" validate
cat repository/test/matrix/parent/1.0.0/parent-1.0.0.pom
test -s repository/test/matrix/extension/1.0.0/extension-1.0.0.jar`,
    }),
  },
  {
    id: 'gradle',
    name: 'Gradle',
    does: 'fetches a dependency',
    version: 'gradle --version',
    from: { debian: 'gradle' },
    work: ({ url }) => ({
      files: {
        'settings.gradle': '',
        'build.gradle': `repositories { maven { url '${url}/maven' } }
configurations { matrix }
dependencies { matrix 'test.matrix:extension:1.0.0@pom' }
configurations.matrix.files.each { println it.text }
`,
      },
      script: `GRADLE_OPTS=${SHORT_LIVED} gradle --no-daemon -q -g "$PWD/home" help`,
    }),
  },
]
